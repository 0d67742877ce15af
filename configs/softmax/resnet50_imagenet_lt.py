_base_ = '../_base_/tasks/resnet50_imagenet_lt.py'
