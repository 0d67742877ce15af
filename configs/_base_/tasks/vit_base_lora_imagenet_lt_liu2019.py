# ImageNet-LT of Liu et al. 2019, ViT-B/16, by low-rank adapters.
_base_ = [
    '../models/vit_base_lora.py',
    '../datasets/imagenet_lt_liu2019.py',
    '../schedules/lift_10e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
data_preprocessor = _base_.pixels
train_dataloader = dict(batch_size=128)
