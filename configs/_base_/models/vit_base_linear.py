# ViT-B/16, frozen: only the classifier is trained.
_base_ = './vit_base.py'
model = dict(backbone=dict(frozen_stages=12))
