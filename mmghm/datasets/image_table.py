"""A CSV or Parquet file as a dataset."""

from typing import Any, List, Optional

import numpy as np
from mmpretrain.registry import DATASETS

from mmghm.utils.paths import join_inside

from .listed_images import ListedImages
from .tables import AnnotationError, AnnotationTable, read_table, reading


@DATASETS.register_module()
class ImageTable(ListedImages):
    """A CSV or Parquet file with a column of paths and one of labels.

    Labels are names of classes or integers from 0, see
    :meth:`AnnotationTable.classes`. Paths are relative to ``data_prefix`` in ``data_root``, must not lead out of it
    and come once.

    Args:
        ann_file (str): The file, relative to ``data_root``: Parquet if it ends
            in ``.parquet`` or ``.pq``, else CSV with a header.
        data_root (str): Folder.
        path_column (str): Name of the column of paths.
        label_column (str): Name of the column of labels.
        classes_from (Optional[str]): File with the same columns whose labels
            are the classes, relative to ``data_root``: the training set's,
            for a validation set that may lack some. By default ``ann_file``.
        delimiter (str): What separates fields of a CSV file.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        path_column: str = 'path',
        label_column: str = 'label',
        classes_from: Optional[str] = None,
        delimiter: str = ',',
        **kwargs: Any,
    ) -> None:
        self.columns = dict(
            path_column=path_column,
            label_column=label_column,
            delimiter=delimiter,
        )
        self.classes_from = classes_from
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def ann_files(self) -> List[str]:
        """``ann_file`` and, if there is one, ``classes_from``."""
        if self.classes_from is None:
            return [self.ann_file]
        return [self.ann_file, join_inside(self.data_root, self.classes_from)]

    def read(self, *contents: bytes) -> AnnotationTable:
        """Read the files."""
        files = self.ann_files()
        table = read_table(files[0], contents[0], **self.columns)
        classes = self.CLASSES
        if classes is None:
            source = table
            if len(files) > 1:
                with reading(files[1]):
                    source = read_table(files[1], contents[1], **self.columns)
            classes = source.classes()
        number_of = {name: i for i, name in enumerate(classes)}
        numbers = [number_of.get(name, -1) for name in table.names]
        labels = np.array(numbers, dtype=np.int32)[table.check().labels]
        if (labels < 0).any():
            record = int(np.argmax(labels < 0))
            raise AnnotationError(
                f'{table.names[table.labels[record]]!r}, the label of '
                f'{table.path(record)!r}, is none of the {len(classes)} '
                + ('classes' if len(files) == 1 else f'classes of {files[1]}'),
                table.line(record),
            )
        return table._replace(labels=labels, names=classes)
