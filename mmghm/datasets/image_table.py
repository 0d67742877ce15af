"""Images and labels from a CSV file."""

import csv
import io
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.fileio import get
from mmpretrain.registry import DATASETS

from .image_list import ImageList
from .paths import join_inside


def read_rows(
    path: str, columns: Tuple[str, ...], delimiter: str = ','
) -> Iterator[Tuple[int, List[str]]]:
    """Read some columns of a CSV file with a header.

    Args:
        path (str): The file, also one that MMEngine's backends can read.
        columns (Tuple[str, ...]): Names in the header.
        delimiter (str): What separates fields.

    Yields:
        Tuple[int, List[str]]: Line number, from 1, and the fields asked for,
        without blanks around them. Empty lines are left out.

    Raises:
        ValueError: If a column is missing, or a line is shorter or longer
            than the header.
    """
    # Excel begins its files with a byte order mark.
    text = get(path).decode('utf-8-sig')
    # Names may hold what str.splitlines() takes for an end of line.
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(
            f'{path} has no column {", ".join(map(repr, missing))}; its first '
            f'line names {header}. Set path_column, label_column or delimiter'
        )
    places = [header.index(name) for name in columns]
    for row in reader:
        if not ''.join(row).strip():
            continue
        if len(row) != len(header):
            raise ValueError(
                f'{path}, line {reader.line_num}: expected {len(header)} '
                f'fields, got {len(row)}: {row}'
            )
        yield reader.line_num, [row[place].strip() for place in places]


def table_classes(
    path: str, label_column: str = 'label', delimiter: str = ','
) -> List[str]:
    """Names of the classes in a CSV file.

    Args:
        path (str): The file.
        label_column (str): Its column of labels.
        delimiter (str): What separates fields.

    Returns:
        List[str]: The labels in alphabetical order, the place of each being
        its number. If all are integers they are the numbers themselves, and
        the names go from 0 to the largest.

    Raises:
        ValueError: If the file lists nothing or is malformed.
    """
    rows = read_rows(path, (label_column,), delimiter)
    labels = {label for _, (label,) in rows}
    if not labels:
        raise ValueError(f'{path} lists no image')
    if all(label.isascii() and label.isdigit() for label in labels):
        return [str(i) for i in range(max(map(int, labels)) + 1)]
    return sorted(labels)


@DATASETS.register_module()
class ImageTable(ImageList):
    """A CSV file with a header, a column of paths and one of labels.

    Labels are names of classes or integers from 0, see
    :func:`table_classes`. Paths are relative to ``data_prefix`` in
    ``data_root`` and must not lead out of it.

    Args:
        ann_file (str): The file, relative to ``data_root``.
        data_root (str): Folder.
        path_column (str): Name of the column of paths.
        label_column (str): Name of the column of labels.
        classes_from (Optional[str]): File with the same columns whose labels
            are the classes, relative to ``data_root``: the training set's,
            for a validation set that may lack some. By default ``ann_file``.
        delimiter (str): What separates fields.
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
        self.path_column = path_column
        self.label_column = label_column
        self.classes_from = classes_from
        self.delimiter = delimiter
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the file.

        Returns:
            List[dict]: ``img_path``, ``gt_label`` and ``line``, the number of
            the line.

        Raises:
            ValueError: If the file lists nothing or a line is malformed: a
                field too few or too many, an unknown label, a path listed
                twice or leading out of the folder. Names the line.
        """
        source = self.ann_file
        if self.classes_from is not None:
            source = join_inside(self.data_root, self.classes_from)
        classes = table_classes(source, self.label_column, self.delimiter)
        self._metainfo.setdefault('classes', tuple(classes))
        number_of = {name: i for i, name in enumerate(self.CLASSES)}
        root = self.img_prefix or self.data_root
        line_of: Dict[str, int] = {}
        samples = []
        columns = (self.path_column, self.label_column)
        for line, (path, label) in read_rows(
            self.ann_file, columns, self.delimiter
        ):
            if label not in number_of:
                raise self._error(
                    line,
                    f'{label!r} is none of the {len(number_of)} classes of '
                    f'{source}',
                )
            img_path = self._checked_path(root, path, line, line_of)
            samples.append(
                dict(img_path=img_path, gt_label=number_of[label], line=line)
            )
        return samples
