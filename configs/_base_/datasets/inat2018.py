# iNaturalist 2018 (train2018.json and val2018.json in data/inat2018): 437,513
# train images; val 24,426, 3 a class.
_base_ = './inat2017.py'
num_classes = 8142
data_preprocessor = dict(num_classes=num_classes)
train_dataloader = dict(
    dataset=dict(data_root='data/inat2018', ann_file='train2018.json')
)
val_dataloader = dict(
    dataset=dict(data_root='data/inat2018', ann_file='val2018.json')
)
test_dataloader = val_dataloader
