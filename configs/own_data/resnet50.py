# ResNet-50, all of it fine-tuned with GHM-CWAP. It begins with MMPretrain's
# weights of ImageNet, which the first run downloads; settings are those of
# fine_tuning.py.
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/ghm_cwap.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='resnet50_8xb32_in1k', freeze='no', loss=_base_.loss
    )
)

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
