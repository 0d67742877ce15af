_base_ = '../_base_/tasks/resnet32_cifar100_lt.py'
