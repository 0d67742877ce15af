_base_ = './resnet32_tinyimagenet_lt_if100.py'
train_dataloader = dict(dataset=dict(imbalance_factor=500))
