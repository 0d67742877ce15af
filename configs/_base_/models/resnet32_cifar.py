# ResNet-32 of He et al. for 32 x 32 images; the head's width and loss come
# from the dataset and the loss.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', in_channels=64),
)
