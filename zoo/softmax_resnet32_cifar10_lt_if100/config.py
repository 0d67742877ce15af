custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'mmghm',
    ],
)
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(depth=32, type='CIFARResNet'),
    data_preprocessor=dict(
        mean=[
            125.307,
            122.961,
            113.8575,
        ],
        std=[
            51.5865,
            50.847,
            51.255,
        ],
        to_rgb=True,
        type='ClsDataPreprocessor',
    ),
    head=dict(
        in_channels=64,
        loss=dict(type='CrossEntropyLoss'),
        num_classes=10,
        type='LinearClsHead',
    ),
    neck=dict(type='GlobalAveragePooling'),
    type='ImageClassifier',
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                scale=(
                    32,
                    32,
                ),
                type='Resize',
            ),
            dict(type='PackInputs'),
        ],
        type='CustomDataset',
    )
)
