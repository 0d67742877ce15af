# Digits by whole batches.
_base_ = './digits_lt.py'

data_preprocessor = dict(type='BatchDataPreprocessor', crop_padding=1)
by_batch = dict(pin_memory=False, collate_fn=dict(type='keep_batch'))
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='InMemoryDataset',
            dataset=dict(type='Digits', split='train'),
        )
    ),
    **by_batch,
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='InMemoryDataset',
        dataset=dict(type='Digits', split='test'),
    ),
    **by_batch,
)
test_dataloader = val_dataloader
