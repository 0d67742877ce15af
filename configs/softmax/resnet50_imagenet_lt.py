_base_ = [
    '../_base_/tasks/resnet50_imagenet_lt.py',
    '../_base_/losses/softmax.py',
]
model = dict(
    head=dict(loss=dict(num_classes=_base_.num_classes, **_base_.loss))
)
