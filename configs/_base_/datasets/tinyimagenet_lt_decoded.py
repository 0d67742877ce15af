# Long-tailed TinyImageNet by whole batches: the images in one uint8 tensor (1.2
# GB) on the device, where they are cropped, mirrored and normalised.
_base_ = './tinyimagenet_lt.py'

data_preprocessor = dict(
    type='BatchDataPreprocessor', crop_padding=8, flip_prob=0.5
)
load = [dict(type='LoadCheckedImage')]
by_batch = dict(
    num_workers=0, pin_memory=False, collate_fn=dict(type='keep_batch')
)
train_set = dict(
    type='TinyImageNet',
    data_root='data/tiny-imagenet-200',
    split='train',
    pipeline=load,
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(_delete_=True, type='InMemoryDataset', dataset=train_set)
    ),
    **by_batch,
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='InMemoryDataset',
        dataset=dict(
            type='TinyImageNet',
            data_root='data/tiny-imagenet-200',
            split='val',
            pipeline=load,
        ),
    ),
    **by_batch,
)
test_dataloader = val_dataloader
