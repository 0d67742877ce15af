# Long-tailed TinyImageNet, ResNet-32. The paper does not state its recipe; this
# is the CIFAR one.
_base_ = [
    '../models/resnet32_cifar.py',
    '../datasets/tinyimagenet_lt.py',
    '../schedules/cifar_200e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
