"""Images in tar archives, WebDataset's layout."""

from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from mmghm.utils.dependencies import LazyModule

from .image_list import ImageList
from .long_tail import LongTailDataset
from .shards.backend import shard_address
from .tables import AnnotationError, AnnotationTable

pc = LazyModule('pyarrow.compute')


@DATASETS.register_module()
class ImageShards(ImageList):
    """Images inside tar archives, for sets that no single disk holds.

    The list, which ``tools/dataset_converters/shards.py`` makes or takes from
    shards that are there, says where each image lies: lines of
    ``SHARD.tar#OFFSET+SIZE-CRC label``. So any image can be read at any time, and
    subsets, samplers, evaluation and resume work as they do on files. See
    :class:`ShardBackend` for caching.

    Args:
        ann_file (str): The list, relative to ``data_root``.
        shards (str): Folder of the archives, or an address that fsspec knows,
            such as ``s3://bucket/train`` or ``https://host/train``; by default
            ``data_root``.
        **kwargs (Any): Arguments of :class:`ImageList`.

    Raises:
        ValueError: If nothing is known of the protocol of ``shards``.
    """

    def __init__(self, ann_file: str, shards: str = '', **kwargs: Any) -> None:
        self.shards = shard_address(shards or kwargs.get('data_root') or '.')
        super().__init__(ann_file=ann_file, **kwargs)

    def folder(self) -> str:
        """Address of the archives."""
        return self.shards

    def read(self, *contents: bytes) -> AnnotationTable:
        """Read the list, each line of which names a place in an archive."""
        table = super().read(*contents)
        placed = np.asarray(pc.match_substring(table.paths, '#'))
        if not placed.all():
            record = int(np.argmin(placed))
            raise AnnotationError(
                f'expected "SHARD#OFFSET+SIZE-CRC label", got '
                f'{table.path(record)!r}; '
                'tools/dataset_converters/shards.py makes such lists',
                table.line(record),
            )
        return table


def shard_numbers(dataset: Any) -> np.ndarray:
    """Number of the archive of each image, int64 (n,), in [0, archives).

    The dataset is :class:`ImageShards`, or ``LongTailDataset`` around it.
    """
    if isinstance(dataset, LongTailDataset):
        return shard_numbers(dataset.dataset)[dataset.indices]
    if isinstance(dataset, ImageShards):
        dataset.full_init()
        # A name may hold the character too.
        split = pc.extract_regex(
            dataset.data_list.table.paths, '(?s)(?P<shard>.*)#'
        )
        codes = split.field('shard').dictionary_encode().indices
        return codes.to_numpy().astype(np.int64)
    raise TypeError(
        'ShardSampler needs ImageShards, or LongTailDataset around it, got '
        f'{type(dataset).__name__}'
    )
