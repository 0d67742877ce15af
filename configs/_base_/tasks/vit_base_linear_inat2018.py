# iNaturalist 2018, ViT-B/16, only its classifier trained.
_base_ = [
    '../models/vit_base_linear.py',
    '../datasets/inat2018.py',
    '../schedules/lift_10e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
data_preprocessor = _base_.pixels
train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=20)
