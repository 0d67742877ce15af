# ConvNeXt-T (Liu et al. 2022), all of it fine-tuned with Balanced Softmax. The
# first run downloads the weights; to fetch them before:
#   python -c "import timm; timm.create_model('convnext_tiny.fb_in22k', pretrained=True)"
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
backbone = '{{$BACKBONE:timm/convnext_tiny.fb_in22k}}'
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

val_evaluator = dict(topk=1)
test_evaluator = val_evaluator
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
