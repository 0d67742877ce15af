_base_ = './resnet32_cifar100_lt_if100.py'
train_dataloader = dict(dataset=dict(imbalance_factor=1))
