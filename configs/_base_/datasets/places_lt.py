# Places-LT of Liu et al. 2019 by its lists (Places_LT_train.txt and others in
# data/places365_standard, beside train/ and val/ of the archive
# places365standard_easyformat): 62,500 train images, 4,980 to 5 a class; val
# 7,300, test 36,500.
_base_ = './imagenet_lt_liu2019.py'
num_classes = 365
data_preprocessor = dict(num_classes=num_classes)
listed = dict(data_root='data/places365_standard', num_classes=num_classes)
train_dataloader = dict(dataset=dict(ann_file='Places_LT_train.txt', **listed))
val_dataloader = dict(dataset=dict(ann_file='Places_LT_val.txt', **listed))
test_dataloader = dict(dataset=dict(ann_file='Places_LT_test.txt', **listed))
