"""Images that a file lists."""

import os.path as osp
from typing import Any, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.fileio import get
from mmpretrain.datasets import BaseDataset

from mmghm.utils.dependencies import LazyModule
from mmghm.utils.errors import UserError

from .tables import AnnotationTable, reading

pa = LazyModule('pyarrow')


class AnnotationList(Sequence):
    """AnnotationTable as the list of dicts that MMEngine's datasets hold.

    A dict is made when it is asked for. Forked workers read the same table;
    those that are not forked get a copy of it when they start. Paths are
    relative to ``folder``, or its address; ``ann_file`` is for messages.
    """

    def __init__(
        self, table: AnnotationTable, folder: str, ann_file: str
    ) -> None:
        self.table = table
        self.folder = folder
        self.ann_file = ann_file

    def __len__(self) -> int:
        return len(self.table.labels)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, (int, np.integer)):
            table = self.table.take(index)
            return type(self)(table, self.folder, self.ann_file)
        record = range(len(self))[index]
        info = dict(
            # Checked when the list was read.
            img_path=osp.join(self.folder, self.table.path(record)),
            gt_label=int(self.table.labels[record]),
        )
        line = self.table.line(record)
        if line:
            info['source'] = f'{self.ann_file}, line {line}'
        return info

    def __deepcopy__(self, memo: dict) -> 'AnnotationList':
        # Nothing writes to the table.
        return self


class ListedImages(BaseDataset):
    """Base of datasets that read an annotation file of any length.

    Annotations are columns (:class:`AnnotationTable`) and not a dict an image:
    what MMEngine's ``serialize_data`` is for, which therefore means nothing
    here.

    Args:
        ann_file (str): The file, relative to ``data_root``.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    data_list: Any

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        kwargs['serialize_data'] = False
        super().__init__(ann_file=ann_file, **kwargs)

    def ann_files(self) -> List[str]:
        """Files that are read, ``ann_file`` first."""
        return [self.ann_file]

    def folder(self) -> str:
        """Folder that paths in the files are relative to, or its address."""
        return self.img_prefix or self.data_root

    def read(self, *contents: bytes) -> AnnotationTable:
        """Make a table of the content of :meth:`ann_files`.

        Its names are the classes, if the files tell them. What is malformed
        raises an :class:`AnnotationError`.
        """
        raise NotImplementedError

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotations; what is wrong names its line."""
        contents = [get(path) for path in self.ann_files()]
        with reading(self.ann_file):
            table = self.read(*contents)
        if not len(table.labels):
            raise UserError(f'{self.ann_file} lists no image')
        if table.names:
            self._metainfo.setdefault('classes', tuple(table.names))
        # Arrow keeps what it has used, some times the table's size.
        pa.default_memory_pool().release_unused()
        return AnnotationList(table, self.folder(), self.ann_file)

    def _copy_without_annotation(
        self, memo: Optional[dict] = None
    ) -> 'ListedImages':
        # MMEngine's default is one dict for all copies that a process makes:
        # a later one may find an object of an earlier one under its address.
        return super()._copy_without_annotation({} if memo is None else memo)

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Label of every image."""
        return self.data_list.table.labels.astype(np.int64)

    def _get_unserialized_subset(
        self, indices: Union[Sequence[int], int]
    ) -> Any:
        if isinstance(indices, int):
            return super()._get_unserialized_subset(indices)
        return self.data_list[indices]
