"""Images in tar archives, WebDataset's layout."""

from typing import Any, Sequence, Tuple

import numpy as np
from mmengine.dataset import force_full_init
from mmpretrain.registry import DATASETS

from .annotations.annotation_table import AnnotationError, AnnotationTable
from .image_list import ImageList
from .long_tail import LongTailDataset
from .shards.backend import shard_address


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
        """What paths are relative to.

        Returns:
            str: Address of the archives.
        """
        return self.shards

    def read(self, *contents: bytes) -> Tuple[AnnotationTable, Sequence[str]]:
        """Read the list.

        Args:
            *contents (bytes): Its content.

        Returns:
            Tuple[AnnotationTable, Sequence[str]]: The images, and nothing.

        Raises:
            AnnotationError: If a line is malformed, see :class:`ImageList`, or
                names no place in an archive.
        """
        records, classes = super().read(*contents)
        wrong = _marks(records) < records.starts
        if wrong.any():
            record = int(np.argmax(wrong))
            raise AnnotationError(
                f'expected "SHARD#OFFSET+SIZE-CRC label", got '
                f'{records.path(record)!r}; '
                'tools/dataset_converters/shards.py makes such lists',
                records.line(record),
            )
        return records, classes

    @force_full_init
    def shard_numbers(self) -> np.ndarray:
        """Number of the archive of each image.

        Returns:
            np.ndarray: int64 (n,), in [0, number of archives), in the order of
            the list.
        """
        return _number_shards(self.data_list.records)


def shard_numbers(dataset: Any) -> np.ndarray:
    """Number of the archive that each image of a dataset lies in.

    Args:
        dataset (Any): :class:`ImageShards`, or ``LongTailDataset`` around it.

    Returns:
        np.ndarray: int64 (n,).

    Raises:
        TypeError: If it is another dataset.
    """
    if isinstance(dataset, LongTailDataset):
        return shard_numbers(dataset.dataset)[dataset.indices]
    if isinstance(dataset, ImageShards):
        return dataset.shard_numbers()
    raise TypeError(
        'ShardSampler needs ImageShards, or LongTailDataset around it, got '
        f'{type(dataset).__name__}'
    )


def _number_shards(records: AnnotationTable) -> np.ndarray:
    _, first, inverse = np.unique(
        records._replace(ends=_marks(records)).hashes(),
        return_index=True,
        return_inverse=True,
    )
    order = np.argsort(np.argsort(first))
    return order[inverse].astype(np.int64)


def _marks(records: AnnotationTable) -> np.ndarray:
    """Where the last ``#`` of each path is; before its start if it has none."""
    marks = np.flatnonzero(records.text == ord('#'))
    # Names may hold the character too.
    return np.append(-1, marks)[np.searchsorted(marks, records.ends)]
