# Loaders of one's own images; the datasets are put in by configs/own_data.
_base_ = './imagenet_lt_if100.py'
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=32, num_workers=4, dataset=dict(_delete_=True)
)
val_dataloader = dict(batch_size=32, num_workers=4, dataset=dict(_delete_=True))
