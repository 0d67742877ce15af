_base_ = '../_base_/tasks/resnet32_cifar10_lt.py'
