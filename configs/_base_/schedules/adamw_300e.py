# 300 epochs of AdamW, batch 1,024 (8 GPUs x 128), as mmpretrain trains Swin and
# ConvNeXt on ImageNet-1k. Not tuned on long tails.
optim_wrapper = dict(
    optimizer=dict(
        type='AdamW', lr=1e-3, weight_decay=0.05, betas=(0.9, 0.999)
    ),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={
            '.absolute_pos_embed': dict(decay_mult=0.0),
            '.relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
# 20 epochs of warm-up.
param_scheduler = dict(
    type='WarmupCosineLR', warmup=20 / 300, eta_min=1e-5, by_epoch=False
)
train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=10)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=1024)
