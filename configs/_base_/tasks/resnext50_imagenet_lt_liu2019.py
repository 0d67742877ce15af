# ImageNet-LT of Liu et al. 2019, ResNeXt-50, 90 epochs on 8 GPUs x 64.
_base_ = [
    '../models/resnext50.py',
    '../datasets/imagenet_lt_liu2019.py',
    '../schedules/imagenet_90e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
