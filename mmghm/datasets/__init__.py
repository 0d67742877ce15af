from .annotations.table_reader import table_classes
from .class_counts import dataset_class_counts, dataset_labels
from .digits import Digits
from .image_folder import InMemoryImageFolder
from .image_list import ImageList
from .image_shards import ImageShards
from .image_table import ImageTable
from .in_memory import InMemoryDataset, keep_batch
from .inaturalist import INaturalist
from .label_noise import flip_labels
from .long_tail import LongTailDataset
from .own_images import OwnImages, find_own_images
from .profiles import profile_counts
from .samplers import ClassBalancedSampler, ShardSampler
from .shards.backend import ShardBackend
from .subsets import choose_long_tail, split_held_out
from .tiny_imagenet import TinyImageNet
from .transforms import LoadCheckedImage

__all__ = [
    'ClassBalancedSampler',
    'Digits',
    'INaturalist',
    'ImageList',
    'ImageShards',
    'ImageTable',
    'InMemoryDataset',
    'InMemoryImageFolder',
    'LoadCheckedImage',
    'LongTailDataset',
    'OwnImages',
    'ShardBackend',
    'ShardSampler',
    'TinyImageNet',
    'choose_long_tail',
    'dataset_class_counts',
    'dataset_labels',
    'find_own_images',
    'flip_labels',
    'keep_batch',
    'profile_counts',
    'split_held_out',
    'table_classes',
]
