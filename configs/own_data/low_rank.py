# A frozen vision transformer with low-rank adapters at queries, keys and values
# (Hu et al. 2022) and Balanced Softmax; settings are those of fine_tuning.py.
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/lift_10e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
backbone = '{{$BACKBONE:timm/vit_small_patch14_dinov2.lvd142m}}'
image_size = '{{$IMAGE_SIZE:224}}'
pretrained = '{{$PRETRAINED:default}}'
freeze = '{{$FREEZE:no}}'

# An import statement would make this one of MMEngine's lazy configs.
(
    classes,
    sources,
    train_dataloader,
    val_dataloader,
    test_dataloader,
    data_preprocessor,
    model,
) = __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
    folder='{{$DATA_ROOT:data/own}}',
    shards='{{$SHARDS:none}}',
    backbone=backbone,
    image_size=image_size,
    pretrained=pretrained,
    freeze=freeze,
    loss=_base_.loss,
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

val_evaluator = dict(topk=1)
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
