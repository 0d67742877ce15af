# Your own images, long-tailed as they are: ResNet-50 with GHM-CWAP, see
# docs/own_data.md. Settings are environment variables:
#
# DATA_ROOT   folder with train/<class>/* and val/<class>/*; or with train.csv
#             and val.csv, whose first line is path,label, or the same as
#             .parquet; or with train.txt and val.txt, lines of "path label" or
#             of places in archives. Without val a tenth of each class is held
#             out
# SHARDS      where archives are, if not in DATA_ROOT: a folder or an address
# PRETRAINED  a checkpoint to begin with: a file, an address, or none
_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/own_images.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/losses/ghm_cwap.py',
    '../_base_/default_runtime.py',
]
folder = '{{$DATA_ROOT:data/own}}'
shards = '{{$SHARDS:none}}'
pretrained = '{{$PRETRAINED:torchvision://resnet50}}'

# An import statement would make this one of MMEngine's lazy configs.
classes, train_set, val_set = __import__(
    'mmghm.datasets', fromlist=['datasets']
).find_own_images(folder, '' if shards == 'none' else shards)
num_classes = len(classes)

# All images are kept: the set is long-tailed by itself.
divided = dict(type='LongTailDataset', profile='none')
if val_set is None:
    divided.update(holdout=0.1)
    val_dataset = dict(
        part='holdout',
        dataset=dict(pipeline=_base_.test_pipeline, **train_set),
        **divided,
    )
else:
    val_dataset = dict(pipeline=_base_.test_pipeline, **val_set)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(pipeline=_base_.train_pipeline, **train_set), **divided
    )
)
if train_set['type'] == 'ImageShards':
    train_dataloader['sampler'] = dict(_delete_=True, type='ShardSampler')
val_dataloader = dict(dataset=val_dataset)
test_dataloader = val_dataloader
val_evaluator = dict(topk=1)
test_evaluator = val_evaluator

data_preprocessor = dict(num_classes=num_classes)
model = dict(
    backbone=dict(
        init_cfg=None
        if pretrained == 'none'
        else dict(type='Pretrained', checkpoint=pretrained)
    ),
    head=dict(
        num_classes=num_classes,
        topk=(1,),
        loss=dict(num_classes=num_classes, **_base_.loss),
    ),
)
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
