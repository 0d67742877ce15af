# Digits by whole batches, ResNet-8.
_base_ = [
    '../models/resnet8_digits.py',
    '../datasets/digits_lt_decoded.py',
    '../schedules/digits_40e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
