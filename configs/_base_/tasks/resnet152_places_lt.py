# Places-LT, ResNet-152, 30 epochs. Usually fine-tuned from ImageNet weights:
# model.backbone.init_cfg.type=Pretrained
# model.backbone.init_cfg.checkpoint=torchvision://resnet152
_base_ = [
    '../models/resnet152.py',
    '../datasets/places_lt.py',
    '../schedules/finetune_30e.py',
    '../default_runtime.py',
]
model = dict(head=dict(num_classes=_base_.num_classes))
