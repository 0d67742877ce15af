# Digits, long-tailed at imbalance factor 20, ResNet-8.
_base_ = [
    '../models/resnet8_digits.py',
    '../datasets/digits_lt.py',
    '../schedules/digits_40e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
