# Loaders and pipelines of one's own images; configs/own_data puts the datasets
# in.
_base_ = './inat2017.py'
train_dataloader = dict(
    batch_size=32, num_workers=4, dataset=dict(_delete_=True)
)
val_dataloader = dict(batch_size=32, num_workers=4, dataset=dict(_delete_=True))
test_dataloader = val_dataloader
