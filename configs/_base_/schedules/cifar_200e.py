# The recipe of the long-tailed CIFAR literature (Cui et al. 2019, Cao et al.
# 2019): 200 epochs, batch 128, x 0.01 after epochs 160 and 180.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4)
)
# The first 5 epochs at 1/5, 2/5, ... of the learning rate.
param_scheduler = dict(
    type='WarmupMultiStepLR',
    warmup=5 / 200,
    warmup_stairs=5,
    milestones=[160 / 200, 180 / 200],
    gamma=0.01,
    by_epoch=False,
)
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=10)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
