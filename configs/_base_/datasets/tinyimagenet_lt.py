# Long-tailed TinyImageNet in its official layout (data/tiny-imagenet-200).
num_classes = 200
data_preprocessor = dict(
    num_classes=num_classes,
    mean=[122.46, 114.26, 101.37],
    std=[70.49, 68.56, 71.81],
    to_rgb=True,
)

train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='RandomCrop', crop_size=64, padding=8),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='LoadCheckedImage'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=100,
        dataset=dict(
            type='TinyImageNet',
            data_root='data/tiny-imagenet-200',
            split='train',
            pipeline=train_pipeline,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=250,
    num_workers=4,
    dataset=dict(
        type='TinyImageNet',
        data_root='data/tiny-imagenet-200',
        split='val',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='GroupAccuracy', groups=['quartile', 'kang'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
