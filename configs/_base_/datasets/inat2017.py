# iNaturalist 2017 (train2017.json and val2017.json in data/inat2017), prepared
# as ImageNet without colour jitter. Its val set is imbalanced: read overall
# (micro) and macro accuracy.
_base_ = './imagenet_lt_if100.py'
num_classes = 5089
# The pixels' statistics of Kang et al. 2020's code for iNaturalist 2018, whose recipe
# both years follow: photographs of the same site. The paper names none.
data_preprocessor = dict(
    num_classes=num_classes,
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
)

train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='INaturalist',
        data_root='data/inat2017',
        ann_file='train2017.json',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='INaturalist',
        data_root='data/inat2017',
        ann_file='val2017.json',
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
