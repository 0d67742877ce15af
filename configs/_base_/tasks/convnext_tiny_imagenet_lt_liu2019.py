# ImageNet-LT of Liu et al. 2019, ConvNeXt-T from random weights, 300 epochs on 8 GPUs x
# 128, with Mixup, CutMix and averaged weights.
_base_ = [
    '../models/convnext_tiny.py',
    '../datasets/imagenet_lt_liu2019.py',
    '../schedules/adamw_300e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=128)
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=1e-4)]
