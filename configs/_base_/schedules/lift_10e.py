# 10 epochs of SGD, batch 128, cosine: how Shi et al. 2024 (LIFT) fine-tune on
# ImageNet-LT and Places-LT (20 epochs on iNaturalist 2018). Not tuned here.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = dict(type='WarmupCosineLR', by_epoch=False)
train_cfg = dict(by_epoch=True, max_epochs=10, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=128)
