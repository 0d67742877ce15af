# iNaturalist 2018, ResNet-50, 90 epochs on 8 GPUs x 64.
_base_ = [
    '../models/resnet50.py',
    '../datasets/inat2018.py',
    '../schedules/imagenet_90e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
