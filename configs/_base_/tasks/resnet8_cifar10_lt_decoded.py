# Long-tailed CIFAR-10 by whole batches, ResNet-8.
_base_ = [
    '../models/resnet8_cifar.py',
    '../datasets/cifar10_lt_decoded.py',
    '../schedules/cifar_200e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
