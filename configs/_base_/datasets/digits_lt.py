# Scikit-learn's digits, long-tailed at imbalance factor 20 (143 to 7 a class).
num_classes = 10
data_preprocessor = dict(
    num_classes=num_classes, mean=[77.9], std=[95.9], to_rgb=False
)

train_pipeline = [
    dict(type='RandomCrop', crop_size=8, padding=1),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    # mmpretrain's own train tool would set it.
    persistent_workers=False,
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=20,
        dataset=dict(type='Digits', split='train', pipeline=train_pipeline),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='Digits', split='test', pipeline=[dict(type='PackInputs')]
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='GroupAccuracy', groups=['quartile', 'kang'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
