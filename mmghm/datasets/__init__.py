from mmghm.utils.dependencies import can_import

from .class_counts import dataset_class_counts, dataset_labels
from .in_memory import InMemoryDataset, keep_batch
from .label_noise import flip_labels
from .long_tail import LongTailDataset
from .profiles import profile_counts
from .samplers.class_sampler import ClassBalancedSampler
from .shards.backend import ShardBackend
from .subsets import choose_long_tail, split_held_out

__all__ = [
    'ClassBalancedSampler',
    'InMemoryDataset',
    'LongTailDataset',
    'ShardBackend',
    'choose_long_tail',
    'dataset_class_counts',
    'dataset_labels',
    'flip_labels',
    'keep_batch',
    'profile_counts',
    'split_held_out',
]

# The rest needs MMPretrain.
if can_import('mmpretrain'):
    from .digits import Digits
    from .image_folder import ImageFolder, InMemoryImageFolder
    from .image_list import ImageList
    from .image_shards import ImageShards
    from .image_table import ImageTable
    from .inaturalist import INaturalist
    from .own_images import OwnImages, find_own_images
    from .samplers.shard_sampler import ShardSampler
    from .tiny_imagenet import TinyImageNet
    from .transforms import LoadCheckedImage

    __all__ += [
        'Digits',
        'INaturalist',
        'ImageFolder',
        'ImageList',
        'ImageShards',
        'ImageTable',
        'InMemoryImageFolder',
        'LoadCheckedImage',
        'OwnImages',
        'ShardSampler',
        'TinyImageNet',
        'find_own_images',
    ]
