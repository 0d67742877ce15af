# Long-tailed TinyImageNet by whole batches, ResNet-32.
_base_ = [
    '../models/resnet32_cifar.py',
    '../datasets/tinyimagenet_lt_decoded.py',
    '../schedules/cifar_200e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
