# The recipe of the long-tailed CIFAR literature (Cui et al. 2019, Cao et al.
# 2019): 200 epochs, batch 128, x 0.01 after epochs 160 and 180.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=True, end=5),
    dict(type='MultiStepLR', milestones=[160, 180], gamma=0.01),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
