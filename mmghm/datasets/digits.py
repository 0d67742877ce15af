"""Scikit-learn's handwritten digits: real images without a download."""

from collections import Counter
from typing import Any, List

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmghm.utils.dependencies import LazyModule
from mmghm.utils.errors import UserError

sklearn_datasets = LazyModule('sklearn.datasets')

TRAIN_IMAGES_PER_CLASS = 143


@DATASETS.register_module()
class Digits(BaseDataset):
    """The 1,797 real 8 x 8 digits that come inside scikit-learn.

    The train split holds the first 143 images of each class (1,430), the test
    split the others (367; 31 to 40 a class, as the smallest class has 174).
    Images are uint8 (8, 8, 1) under ``img``.

    Args:
        split (str): ``'train'`` or ``'test'``.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: If the split is unknown.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self, split: str = 'train', **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise UserError(f"split must be 'train' or 'test', got {split!r}")
        self.split = split
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the images."""
        digits = sklearn_datasets.load_digits()
        # The scans have 17 grey levels, 0 to 16.
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        seen: Counter = Counter()
        samples = []
        for image, label in zip(images, digits.target.tolist()):
            seen[label] += 1
            is_train = seen[label] <= TRAIN_IMAGES_PER_CLASS
            if is_train == (self.split == 'train'):
                samples.append(dict(img=image[..., None], gt_label=label))
        return samples
