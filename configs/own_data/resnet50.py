# Your own images, long-tailed as they are, with GHM-CWAP; see
# docs/own_data.md. Settings are environment variables:
#
# DATA_ROOT   folder with train/<class>/*, or with train.csv, whose first line is
#             path,label, or the same as .parquet; or with train.txt, lines of
#             "path label" or of places in archives. val (or valid, validation)
#             and test are found in any of these forms. Without val a tenth of
#             each class is held out; without test the validation images are
#             tested on
# SHARDS      where archives are, if not in DATA_ROOT: a folder or an address
# BACKBONE    a config of mmpretrain (resnet50_8xb32_in1k) or timm/NAME
# IMAGE_SIZE  height and width of the images (224)
# PRETRAINED  weights of the backbone to begin with: default (those of its name),
#             a file, an address, or none
# FREEZE      yes trains nothing but the classifier (no)
_base_ = [
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/ghm_cwap.py',
    '../_base_/default_runtime.py',
]
folder = '{{$DATA_ROOT:data/own}}'
shards = '{{$SHARDS:none}}'
backbone = '{{$BACKBONE:resnet50_8xb32_in1k}}'
image_size = '{{$IMAGE_SIZE:224}}'
pretrained = '{{$PRETRAINED:default}}'
freeze = '{{$FREEZE:no}}'

# An import statement would make this one of MMEngine's lazy configs.
classes, train_set, val_set, test_set, sources = __import__(
    'mmghm.datasets', fromlist=['datasets']
).find_own_images(folder, '' if shards == 'none' else shards)
num_classes = len(classes)
network, pixels, image_size = __import__(
    'mmghm.models', fromlist=['models']
).find_network(backbone, image_size, pretrained, freeze)

train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='RandomResizedCrop', scale=image_size),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadCheckedImage'),
    # 256 for 224.
    dict(type='ResizeEdge', scale=round(image_size * 8 / 7), edge='short'),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='PackInputs'),
]

# All images are kept: the set is long-tailed by itself.
divided = dict(type='LongTailDataset', profile='none')
if val_set is None:
    divided.update(holdout=0.1)
    val_dataset = dict(
        part='holdout',
        dataset=dict(pipeline=test_pipeline, **train_set),
        **divided,
    )
else:
    val_dataset = dict(pipeline=test_pipeline, **val_set)
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=train_pipeline, **train_set), **divided)
)
if train_set['type'] == 'ImageShards':
    train_dataloader['sampler'] = dict(_delete_=True, type='ShardSampler')
val_dataloader = dict(dataset=val_dataset)
if test_set is None:
    test_dataloader = val_dataloader
else:
    test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **test_set))
val_evaluator = dict(topk=1)
test_evaluator = val_evaluator

data_preprocessor = dict(num_classes=num_classes, **pixels)
model = dict(network)
model['head'] = dict(
    num_classes=num_classes,
    topk=(1,),
    loss=dict(num_classes=num_classes, **_base_.loss),
    **network['head'],
)
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
