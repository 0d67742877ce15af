"""Small images in class folders, held in memory."""

from typing import Any, List, Sequence

import numpy as np
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from .transforms import LoadCheckedImage

# What OpenCV reads; mmpretrain's CustomDataset leaves .webp out.
IMAGE_EXTENSIONS = (
    *('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff'),
    '.webp',
)


@DATASETS.register_module()
class InMemoryImageFolder(CustomDataset):
    """Class folders of small images, decoded once.

    Yields what mmpretrain's CIFAR datasets yield (``img``, uint8 RGB, without
    ``LoadImageFromFile``), so that one pipeline serves both.

    Args:
        data_root (str): Folder with one sub-folder of images per class.
        extensions (Sequence[str]): Accepted file name endings.
        **kwargs (Any): Arguments of mmpretrain's ``CustomDataset``.

    Raises:
        ValueError: If a file cannot be read.
    """

    def __init__(
        self,
        data_root: str,
        extensions: Sequence[str] = IMAGE_EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_root=data_root, extensions=extensions, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read and decode the images."""
        samples = super().load_data_list()
        load = LoadCheckedImage().transform
        for sample in samples:
            loaded = load(sample)
            assert loaded is not None, 'a broken image raises'
            sample['img'] = np.ascontiguousarray(loaded['img'][..., ::-1])
        return samples
