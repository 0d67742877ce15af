# A frozen vision transformer with low-rank adapters at queries, keys and values
# (Hu et al. 2022) and Balanced Softmax; settings are those of fine_tuning.py.
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/lift_10e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/vit_small_patch14_dinov2.lvd142m',
        freeze='no',
        loss=_base_.loss,
    )
)

model = dict(
    model,
    backbone=dict(
        type='LoRABackbone',
        module=model['backbone'],
        alpha=16,
        rank=16,
        drop_rate=0.1,
        targets=[dict(type='qkv')],
    ),
)

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
