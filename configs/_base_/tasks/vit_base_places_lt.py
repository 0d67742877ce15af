# Places-LT, ViT-B/16, all of it fine-tuned.
_base_ = [
    '../models/vit_base.py',
    '../datasets/places_lt.py',
    '../schedules/lift_10e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
data_preprocessor = _base_.pixels
train_dataloader = dict(batch_size=128)
