# Long-tailed CIFAR-100. The official files are downloaded into data/ unless the
# environment variable CIFAR100_FOLDER names a folder with the images as
# train/<class>/* and test/<class>/*.
num_classes = 100
folder = '{{$CIFAR100_FOLDER:download}}'
official = dict(type='CIFAR100', data_root='data/cifar100')

data_preprocessor = dict(
    num_classes=num_classes,
    # CIFAR-10's, as in Cao et al. 2019's recipe for both.
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False,
)  # already RGB

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

if folder != 'download':
    train_set = dict(type='InMemoryImageFolder', data_root=folder + '/train')
    test_set = dict(type='InMemoryImageFolder', data_root=folder + '/test')
else:
    train_set = dict(split='train', **official)
    test_set = dict(split='test', **official)

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    # Cheap to start here, and seeded again for each epoch.
    persistent_workers=False,
    worker_init_fn=dict(type='seed_worker'),
    dataset=dict(
        type='LongTailDataset',
        imbalance_factor=100,
        dataset=dict(pipeline=train_pipeline, **train_set),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=2,
    dataset=dict(pipeline=test_pipeline, **test_set),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='GroupAccuracy', groups=['quartile', 'kang'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
