# CLIP's ViT-B/16 (Radford et al. 2021), frozen, with low-rank adapters, a cosine
# classifier that begins at the class means, and Balanced Softmax: what Shi et
# al. 2024 (LIFT) do, but for their adapters' form. The first run downloads the
# weights; to fetch them before:
#   python -c "import timm; timm.create_model('vit_base_patch16_clip_224.openai', pretrained=True)"
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/lift_10e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/vit_base_patch16_clip_224.openai',
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
model['head'] = dict(model['head'], type='NormedLinearClsHead', scale=25)

custom_hooks = [
    *_base_.custom_hooks,
    *_base_.loss_hooks,
    dict(type='ClassMeanInitHook'),
]
