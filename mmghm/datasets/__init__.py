from .decoded import DecodedDataset, keep_batch
from .digits import Digits
from .image_folder import InMemoryImageFolder
from .image_list import ImageList
from .image_shards import ImageShards
from .image_table import ImageTable, table_classes
from .inaturalist import INaturalist
from .labels import dataset_class_counts, dataset_labels
from .long_tail import LongTailDataset, choose_long_tail, split_held_out
from .own_images import OwnImages, find_own_images
from .profiles import profile_counts
from .samplers import ClassBalancedSampler, ShardSampler
from .shard_backend import ShardBackend
from .tiny_imagenet import TinyImageNet
from .transforms import LoadCheckedImage

__all__ = [
    'ClassBalancedSampler',
    'DecodedDataset',
    'Digits',
    'INaturalist',
    'ImageList',
    'ImageShards',
    'ImageTable',
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
    'keep_batch',
    'profile_counts',
    'split_held_out',
    'table_classes',
]
