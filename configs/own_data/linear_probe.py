# A linear classifier on a frozen pre-trained network: minutes without a GPU.
# Features are computed once and kept; settings are those of fine_tuning.py.
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/linear_30e.py',
    '../_base_/losses/balanced_softmax.py',
    '../_base_/default_runtime.py',
]
# An import statement would make this one of MMEngine's lazy configs.
globals().update(
    __import__('mmghm.engine.own_data', fromlist=['engine']).own_data(
        backbone='timm/tf_efficientnet_lite0', freeze='yes', loss=_base_.loss
    )
)
train_dataloader = dict(train_dataloader, batch_size=256)

# On features of the images as they are tested, without augmentation; these
# factors of the learning rate are tried on a tenth of the train images.
train_on_features = dict(factors=[1 / 3, 1, 3])

custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
