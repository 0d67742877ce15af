from .digits import Digits
from .image_folder import InMemoryImageFolder
from .labels import dataset_class_counts, dataset_labels
from .long_tail import LongTailDataset, choose_long_tail
from .profiles import profile_counts

__all__ = [
    'Digits',
    'InMemoryImageFolder',
    'LongTailDataset',
    'choose_long_tail',
    'dataset_class_counts',
    'dataset_labels',
    'profile_counts',
]
