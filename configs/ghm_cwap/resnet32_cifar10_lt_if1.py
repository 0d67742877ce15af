_base_ = './resnet32_cifar10_lt_if100.py'
train_dataloader = dict(dataset=dict(imbalance_factor=1))
