# The CIFAR recipe, shortened to 40 epochs.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=2e-4)
)
param_scheduler = dict(
    type='WarmupMultiStepLR',
    warmup=5 / 40,
    warmup_stairs=5,
    milestones=[32 / 40, 36 / 40],
    gamma=0.1,
    by_epoch=False,
)
train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
