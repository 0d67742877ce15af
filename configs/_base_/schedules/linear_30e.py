# For a linear classifier on the features of a frozen network, batch 256.
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-2))
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False)
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=30)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)
