_base_ = '../_base_/tasks/resnet8_digits_lt.py'
