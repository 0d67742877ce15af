# iNaturalist 2018 (train2018.json and val2018.json in data/inat2018): 437,513
# train images; val 24,426, 3 a class.
_base_ = './inat2017.py'
num_classes = 8142
# The pixels' statistics of Kang et al. 2020's code.
data_preprocessor = dict(
    num_classes=num_classes,
    mean=[118.83, 120.105, 96.9],
    std=[49.725, 49.47, 48.96],
)
train_dataloader = dict(
    dataset=dict(data_root='data/inat2018', ann_file='train2018.json')
)
val_dataloader = dict(
    dataset=dict(data_root='data/inat2018', ann_file='val2018.json')
)
test_dataloader = val_dataloader
