# Fine-tuning of a whole network on your own images, with GHM-CWAP; see
# docs/own_data.md. Settings are environment variables:
#
# DATA_ROOT   folder with train/<class>/*, or with train.csv, whose first line is
#             path,label, or the same as .parquet; or with train.txt, lines of
#             "path label" or of places in archives. val (or valid, validation)
#             and test are found in any of these forms. Without val a tenth of
#             each class is held out; without test the validation images are
#             tested on
# SHARDS      where archives are, if not in DATA_ROOT: a folder or an address
#
# and these, which --cfg-options takes as well (image_size=64):
#
# BACKBONE    a config of mmpretrain (resnet50_8xb32_in1k) or timm/NAME
# IMAGE_SIZE  height and width of the images
# PRETRAINED  weights of the backbone to begin with: default (those of its name),
#             a file, an address, or none
# FREEZE      yes trains nothing but the classifier
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/ghm_cwap.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/tf_efficientnet_lite0', freeze='no', loss=_base_.loss
    )
)

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
