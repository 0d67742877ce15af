_base_ = [
    '../_base_/tasks/resnet32_cifar10_lt.py',
    '../_base_/losses/ghm_cwap_margin.py',
]
model = dict(
    head=dict(loss=dict(num_classes=_base_.num_classes, **_base_.loss))
)
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
