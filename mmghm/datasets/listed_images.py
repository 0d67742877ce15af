"""Images that a file lists."""

import json
import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.dist import get_world_size
from mmengine.fileio import get
from mmpretrain.datasets import BaseDataset

from .annotations.annotation_table import AnnotationError, AnnotationTable
from .annotations.cached_mmap import cached_mmap, load_mmap

# Less is read and sent faster than shared, in bytes.
_WORTH_SHARING = 4 << 20


class AnnotationList(Sequence):
    """AnnotationTable as the list of dicts that MMEngine's datasets hold.

    A dict is made when it is asked for.

    Args:
        records (AnnotationTable): The images.
        folder (str): Folder that their paths are relative to, or its address.
        ann_file (str): The file that lists them, for messages.
        shared (str): The file that holds all of the records for
            :func:`load_mmap`, if there is one. Processes that are not forked
            get its name and not its content; it is written when it is missed.
    """

    def __init__(
        self,
        records: AnnotationTable,
        folder: str,
        ann_file: str,
        shared: str = '',
    ) -> None:
        self.records = records
        self.folder = folder
        self.ann_file = ann_file
        self.shared = shared

    def __len__(self) -> int:
        return len(self.records.labels)

    def __iter__(self) -> Iterator[dict]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.take(index)
        record = range(len(self))[index]
        path = self.records.path(record)
        info = dict(
            # Checked when the list was read.
            img_path=osp.join(self.folder, path),
            gt_label=int(self.records.labels[record]),
        )
        line = self.records.line(record)
        if line:
            info['source'] = f'{self.ann_file}, line {line}'
        return info

    def __deepcopy__(self, memo: dict) -> 'AnnotationList':
        # Nothing writes to the arrays.
        return self

    def __reduce__(self) -> Any:
        path = self.shared
        if not path and self.records.text.nbytes >= _WORTH_SHARING:
            arrays = self.records._asdict()
            contents = [
                np.ascontiguousarray(array).data
                for array in arrays.values()
                if isinstance(array, np.ndarray)
            ]
            settings = ('AnnotationTable', self.records.first_line)
            _, path = cached_mmap(contents, settings, lambda: arrays)
        records = None if path else self.records
        return _annotation_list, (records, self.folder, self.ann_file, path)

    def take(self, chosen: Union[slice, Sequence[int]]) -> 'AnnotationList':
        """Keep some images.

        Args:
            chosen (Union[slice, Sequence[int]]): Which ones.

        Returns:
            AnnotationList: Those.
        """
        kept = self.records.take(chosen)
        return type(self)(kept, self.folder, self.ann_file)


def _annotation_list(
    records: Optional[AnnotationTable], folder: str, ann_file: str, shared: str
) -> AnnotationList:
    """Undo AnnotationList.__reduce__."""
    if records is None:
        made = load_mmap(shared)
        records = AnnotationTable(
            **{name: made[name] for name in AnnotationTable._fields}
        )
    return AnnotationList(records, folder, ann_file, shared)


class ListedImages(BaseDataset):
    """Base of datasets that read an annotation file of any length.

    Annotations are arrays (:class:`AnnotationTable`) and not a dict an image: what
    MMEngine's ``serialize_data`` is for, which therefore means nothing here.
    They are held once per machine: forked workers share the parent's, other
    processes map a file (:func:`share`).

    Args:
        ann_file (str): The file, relative to ``data_root``.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    data_list: Any

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        kwargs['serialize_data'] = False
        super().__init__(ann_file=ann_file, **kwargs)

    def ann_files(self) -> List[str]:
        """Files that are read.

        Returns:
            List[str]: ``ann_file`` first.
        """
        return [self.ann_file]

    def folder(self) -> str:
        """What paths in the files are relative to.

        Returns:
            str: A folder or an address.
        """
        return self.img_prefix or self.data_root

    def settings(self) -> Dict[str, Any]:
        """What else decides how the files are read.

        Returns:
            Dict[str, Any]: Settings by name.
        """
        raise NotImplementedError

    def read(self, *contents: bytes) -> Tuple[AnnotationTable, Sequence[str]]:
        """Read the files.

        Args:
            *contents (bytes): Content of each of :meth:`ann_files`.

        Returns:
            Tuple[AnnotationTable, Sequence[str]]: The images, and the names of the
            classes if the files tell them, else nothing.

        Raises:
            AnnotationError: If they are malformed.
        """
        raise NotImplementedError

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotations.

        Returns:
            Sequence[dict]: ``img_path``, ``gt_label`` and, if the file has
            lines, ``source`` of each image: the line that names it.

        Raises:
            ValueError: If the file lists nothing or is malformed. Names the
                line.
        """
        contents = [get(path) for path in self.ann_files()]

        def make() -> Dict[str, Any]:
            try:
                records, classes = self.read(*contents)
            except AnnotationError as error:
                raise error.inside(self.ann_file) from error
            if not len(records.labels):
                raise ValueError(f'{self.ann_file} lists no image')
            return dict(classes=json.dumps(list(classes)), **records._asdict())

        path = ''
        large = sum(map(len, contents)) >= _WORTH_SHARING
        if large and get_world_size() > 1:
            settings = (type(self).__qualname__, self.settings())
            made, path = cached_mmap(contents, settings, make)
        else:
            made = make()
        classes = json.loads(made.pop('classes'))
        if classes:
            self._metainfo.setdefault('classes', tuple(classes))
        return AnnotationList(
            AnnotationTable(**made),
            self.folder(),
            self.ann_file,
            path,
        )

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Label of every image."""
        return self.data_list.records.labels.astype(np.int64)

    def _get_unserialized_subset(
        self, indices: Union[Sequence[int], int]
    ) -> Any:
        if isinstance(indices, int):
            return super()._get_unserialized_subset(indices)
        return self.data_list.take(indices)
