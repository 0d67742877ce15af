"""Small images in class folders, held in memory."""

from typing import Any, List, Sequence

import cv2
import numpy as np
from mmengine.fileio import get
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS


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
        ValueError: If a file cannot be decoded.
    """

    def __init__(
        self,
        data_root: str,
        extensions: Sequence[str] = (
            '.webp',
            '.png',
            '.jpg',
            '.jpeg',
            '.bmp',
            '.ppm',
        ),
        **kwargs: Any,
    ) -> None:
        super().__init__(data_root=data_root, extensions=extensions, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read and decode the images.

        Returns:
            List[dict]: ``img``, ``img_path`` and ``gt_label`` of each image.
        """
        samples = super().load_data_list()
        for sample in samples:
            content = np.frombuffer(get(sample['img_path']), dtype=np.uint8)
            image = (
                cv2.imdecode(content, cv2.IMREAD_COLOR)
                if content.size
                else None
            )
            if image is None:
                raise ValueError(
                    f'cannot decode {sample["img_path"]} ({content.size} bytes)'
                )
            sample['img'] = np.ascontiguousarray(image[..., ::-1])
        return samples
