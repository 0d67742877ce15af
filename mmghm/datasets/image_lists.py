"""Which images a dataset has, so that two datasets can be compared."""

import os
from typing import Any, List

from mmengine.dataset import ClassBalancedDataset, RepeatDataset

from .long_tail import LongTailDataset


def image_list_digest(dataset: Any) -> str:
    """SHA-256 of the paths and labels of a dataset's images, in their order.

    Paths are relative to the dataset's root, so that the files may move.
    Images without paths are known by their numbers. What MMEngine's wrappers
    repeat counts once.
    """
    while isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):
        dataset = dataset.dataset
    if not isinstance(dataset, LongTailDataset):
        dataset = LongTailDataset(dataset, profile='none')
    return dataset.manifest()['sha256']


def image_paths(dataset: Any) -> List[str]:
    """Absolute paths of a dataset's images, empty for an image without one.

    The list is empty where the dataset does not tell.
    """
    if not hasattr(dataset, 'get_data_info'):
        return []
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    paths = (info.get('img_path') for info in infos)
    return [os.path.abspath(path) if path else '' for path in paths]
