# ViT-B/16, frozen, with low-rank adapters at queries, keys and values (Hu et
# al. 2022), as Shi et al. 2024 (LIFT) fine-tune on long tails.
_base_ = './vit_base.py'
backbone = _base_.model.backbone
model = dict(
    backbone=dict(
        _delete_=True,
        type='LoRABackbone',
        module=backbone,
        alpha=16,
        rank=16,
        drop_rate=0.1,
        targets=[dict(type='qkv')],
    )
)
