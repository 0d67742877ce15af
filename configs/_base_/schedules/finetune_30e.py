# A usual schedule for fine-tuning, batch 32. Not tuned on anything.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)
)
# One epoch of warm-up, by iteration.
param_scheduler = dict(type='WarmupCosineLR', warmup=1 / 30, by_epoch=False)
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
