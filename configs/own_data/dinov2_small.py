# A linear classifier on DINOv2 ViT-S/14 (Oquab et al. 2023), frozen. The first
# run downloads the weights, which need timm and a network; to fetch them before:
#   python -c "import timm; timm.create_model('vit_small_patch14_dinov2.lvd142m', pretrained=True)"
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/linear_30e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/vit_small_patch14_dinov2.lvd142m',
        freeze='yes',
        loss=_base_.loss,
    )
)
train_dataloader = dict(train_dataloader, batch_size=256)

train_on_features = dict(factors=[1 / 3, 1, 3])

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
