# Long-tailed CIFAR-10, ResNet-8: a small model for CPUs.
_base_ = [
    '../models/resnet8_cifar.py',
    '../datasets/cifar10_lt.py',
    '../schedules/cifar_200e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
