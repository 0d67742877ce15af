# ResNet-8 for 8 x 8 grey images.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=8, in_channels=1),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=64),
)
