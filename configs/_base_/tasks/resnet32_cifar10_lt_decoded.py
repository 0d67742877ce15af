# Long-tailed CIFAR-10 by whole batches, ResNet-32, 200 epochs.
_base_ = [
    '../models/resnet32_cifar.py',
    '../datasets/cifar10_lt_decoded.py',
    '../schedules/cifar_200e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
