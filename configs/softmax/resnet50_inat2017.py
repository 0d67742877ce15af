_base_ = [
    '../_base_/tasks/resnet50_inat2017.py',
    '../_base_/losses/softmax.py',
]
model = dict(
    head=dict(loss=dict(num_classes=_base_.num_classes, **_base_.loss))
)
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
