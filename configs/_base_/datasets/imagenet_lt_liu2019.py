# ImageNet-LT of Liu et al. 2019 by its lists (ImageNet_LT_train.txt and others
# in data/imagenet, beside train/ and val/): 115,846 train images, 1,280 to 5 a
# class; val 20 and test 50 a class.
_base_ = './imagenet_lt_if100.py'
num_classes = 1000
listed = dict(
    _delete_=True,
    type='ImageList',
    data_root='data/imagenet',
    num_classes=num_classes,
)
train_dataloader = dict(
    dataset=dict(
        ann_file='ImageNet_LT_train.txt',
        pipeline=_base_.train_pipeline,
        **listed,
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file='ImageNet_LT_val.txt', pipeline=_base_.test_pipeline, **listed
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file='ImageNet_LT_test.txt', pipeline=_base_.test_pipeline, **listed
    )
)
