# ResNet-32 of He et al. for 32 x 32 images; the head's width and loss come
# from the dataset and the loss.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=32),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        in_channels=64,
        # As Cao et al. 2019 start it (rows of norm 1.4); mmpretrain's default
        # would be N(0, 0.01). Biases are 0, theirs U(-1/8, 1/8).
        init_cfg=dict(type='Kaiming', layer='Linear', mode='fan_in'),
    ),
)
