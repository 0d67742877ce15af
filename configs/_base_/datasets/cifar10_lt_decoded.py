# Long-tailed CIFAR-10 by whole batches: the images in one uint8 tensor on the
# device, where they are cropped, mirrored and normalised.
_base_ = './cifar10_lt.py'

data_preprocessor = dict(
    type='BatchDataPreprocessor', crop_padding=4, flip_prob=0.5
)
by_batch = dict(
    num_workers=0, pin_memory=False, collate_fn=dict(type='keep_batch')
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='InMemoryDataset',
            dataset=dict(pipeline=[], **_base_.train_set),
        )
    ),
    **by_batch,
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='InMemoryDataset',
        dataset=dict(pipeline=[], **_base_.test_set),
    ),
    **by_batch,
)
test_dataloader = val_dataloader
