# ConvNeXt-T (Liu et al. 2022), all of it fine-tuned with Balanced Softmax. The
# first run downloads the weights; to fetch them before:
#   python -c "import timm; timm.create_model('convnext_tiny.fb_in22k', pretrained=True)"
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/convnext_tiny.fb_in22k', freeze='no', loss=_base_.loss
    )
)

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
