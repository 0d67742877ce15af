# ViT-B/16 (Dosovitskiy et al. 2021) for 224 x 224 images, all of it fine-tuned.
# PRETRAINED is a checkpoint of mmpretrain's ViT-B/16, as a file or an address;
# by default the weights of ImageNet-21k are downloaded. 'none' begins with
# random weights.
pretrained = '{{$PRETRAINED:https://download.openmmlab.com/mmclassification/v0/vit/pretrain/vit-base-p16_3rdparty_pt-64xb64_in1k-224_20210928-02284250.pth}}'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='b',
        img_size=224,
        patch_size=16,
        init_cfg=None
        if pretrained == 'none'
        else dict(type='Pretrained', checkpoint=pretrained, prefix='backbone'),
    ),
    neck=None,
    head=dict(type='LinearClsHead', in_channels=768, topk=(1, 5)),
)
# What its pre-training was done with; tasks set it.
pixels = dict(mean=[127.5] * 3, std=[127.5] * 3)
