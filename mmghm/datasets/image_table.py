"""Images and labels from a table: CSV or Parquet."""

import csv
import io
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.fileio import get
from mmpretrain.registry import DATASETS

from .listed_images import ListedImages
from .paths import join_inside
from .records import RecordError, Records, narrow


class Table(NamedTuple):
    """A column of paths and one of labels.

    Args:
        records (Records): The images; the label of each is its place in
            ``names``.
        names (List[str]): What stands in the column of labels, each once.
    """

    records: Records
    names: List[str]

    def classes(self) -> List[str]:
        """Names of the classes.

        Returns:
            List[str]: The labels in alphabetical order, the place of each
            being its number. If all are integers they are the numbers
            themselves, and the names go from 0 to the largest.
        """
        if all(name.isascii() and name.isdigit() for name in self.names):
            largest = max(map(int, self.names), default=-1)
            check_numbers(largest, len(self.names))
            return [str(i) for i in range(largest + 1)]
        return sorted(self.names)


# What stands where a label is missing.
_MISSING = ('nan', 'none', 'null', 'na', 'n/a')


def canonical_names(
    names: Sequence[str], lines: Optional[Sequence[int]] = None
) -> List[str]:
    """Labels as they are meant: 1.0 is 1, and no label is none.

    Args:
        names (Sequence[str]): What stands in the column of labels.
        lines (Optional[Sequence[int]]): Where, if the file has lines.

    Returns:
        List[str]: For each its name; several may have one.

    Raises:
        RecordError: If one is blank or has over 18 digits, or among integers
            one is negative or says that it is missing: as a name it would
            change every class's number.
    """
    whole = [re.fullmatch(r'([0-9]+)(?:\.0+)?', name) for name in names]
    for place, name in enumerate(names):
        if whole[place] and len(name) > 18:
            raise RecordError(
                f'the label {name[:18]}... has {len(name)} digits; classes are '
                'numbered from 0, or have names',
                lines[place] if lines else 0,
            )
    if all(whole):
        return [match[1] for match in whole if match]
    for place, name in enumerate(names):
        line = lines[place] if lines else 0
        if not name:
            raise RecordError('a label is blank', line)
        wrong = name.lower() in _MISSING or re.fullmatch(r'-[0-9.]+', name)
        if wrong and any(whole):
            raise RecordError(f'{name!r} among labels that are integers', line)
    return list(names)


def check_numbers(largest: int, different: int) -> None:
    """Refuse integer labels that are ids and no numbers of classes.

    Args:
        largest (int): The largest label.
        different (int): How many different ones there are.

    Raises:
        RecordError: If there would be a hundred classes to each that occurs,
            and more than 100,000.
    """
    if largest >= max(100_000, 100 * different):
        raise RecordError(
            f'labels go up to {largest:,}, but only {different:,} are '
            'different: they look like ids. Classes are numbered from 0; use '
            'names, or a table, whose labels may be names'
        )


def read_csv(
    content: bytes, path_column: str, label_column: str, delimiter: str = ','
) -> Table:
    """Read two columns of a CSV file with a header.

    Args:
        content (bytes): The file. Empty lines are left out, and blanks around
            a field.
        path_column (str): Name of the column of paths.
        label_column (str): Name of the column of labels.
        delimiter (str): What separates fields.

    Returns:
        Table: The columns.

    Raises:
        RecordError: If a column is missing, a line is shorter or longer than
            the header or is no CSV, or a label is missing.
    """
    # Excel begins its files with a byte order mark.
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise RecordError(f'save it as UTF-8: {error}') from error
    # Names may hold what str.splitlines() takes for an end of line.
    # strict: a quote that nothing closes would swallow the rest.
    reader = csv.reader(
        io.StringIO(text, newline=''), delimiter=delimiter, strict=True
    )
    paths, labels, lines = [], [], []
    try:
        header = [name.strip() for name in next(reader, [])]
        places = _places(header, path_column, label_column)
        for row in reader:
            if not ''.join(row).strip():
                continue
            if len(row) != len(header):
                raise RecordError(
                    f'expected {len(header)} fields, got {len(row)}: {row}',
                    reader.line_num,
                )
            path, label = (row[place].strip() for place in places)
            paths.append(path)
            labels.append(label)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise RecordError(f'no CSV: {error}', reader.line_num) from error
    first_line: Dict[str, int] = {}
    for label, line in zip(labels, lines):
        first_line.setdefault(label, line)
    names = canonical_names(list(first_line), list(first_line.values()))
    name_of = dict(zip(first_line, names))
    place_of = {name: i for i, name in enumerate(dict.fromkeys(names))}
    records = Records.from_paths(
        paths,
        np.array([place_of[name_of[label]] for label in labels]),
        lines=np.array(lines, dtype=np.int32),
    )
    return Table(records, list(place_of))


def read_parquet(content: bytes, path_column: str, label_column: str) -> Table:
    """Read two columns of a Parquet file.

    Args:
        content (bytes): The file.
        path_column (str): Name of a column of strings.
        label_column (str): Name of a column of strings or integers.

    Returns:
        Table: The columns.

    Raises:
        ImportError: If pyarrow is not installed.
        RecordError: If a column is missing, holds nulls or something else
            than it should.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(
            'reading Parquet needs pyarrow: pip install pyarrow'
        ) from error
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        _places(file.schema_arrow.names, path_column, label_column)
        table = file.read(columns=[path_column, label_column])
        for name in (path_column, label_column):
            if table[name].null_count:
                raise RecordError(f'column {name!r} holds nulls')
        paths = table[path_column].cast(pa.large_string()).combine_chunks()
        labels = table[label_column]
        if pa.types.is_dictionary(labels.type):
            labels = labels.cast(labels.type.value_type)
        if pa.types.is_floating(labels.type):
            # Refuses what has a fraction, and NaN.
            labels = labels.cast(pa.int64())
        if not pa.types.is_integer(labels.type):
            labels = labels.cast(pa.string())
        encoded = labels.combine_chunks().dictionary_encode()
    except pa.ArrowException as error:
        raise RecordError(str(error)) from error
    # Arrow keeps strings as we do: one text, and where each ends.
    _, offsets, text = paths.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)
    ends = ends[paths.offset : paths.offset + len(paths) + 1]
    text = np.frombuffer(text or b'', dtype=np.uint8)
    records = Records(
        text,
        narrow(ends[:-1], len(text)),
        narrow(ends[1:], len(text)),
        encoded.indices.to_numpy().astype(np.int32),
    )
    names = canonical_names(
        [str(name).strip() for name in encoded.dictionary.to_pylist()]
    )
    place_of = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if len(place_of) < len(names):
        merged = np.array([place_of[name] for name in names], dtype=np.int32)
        records = records._replace(labels=merged[records.labels])
    return Table(records, list(place_of))


def _places(
    names: Sequence[str], path_column: str, label_column: str
) -> List[int]:
    wanted = (path_column, label_column)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise RecordError(
            f'there is no column {", ".join(map(repr, missing))} among '
            f'{list(names)}; set path_column, label_column or, for a CSV file, '
            'delimiter'
        )
    return [list(names).index(name) for name in wanted]


def read_table(
    path: str,
    content: bytes,
    path_column: str = 'path',
    label_column: str = 'label',
    delimiter: str = ',',
) -> Table:
    """Read two columns of a table.

    Args:
        path (str): Name of the file: Parquet if it ends so, else CSV.
        content (bytes): The file.
        path_column (str): Name of the column of paths.
        label_column (str): Name of the column of labels.
        delimiter (str): What separates fields of a CSV file.

    Returns:
        Table: The columns.

    Raises:
        RecordError: If it is malformed.
    """
    if path.endswith(('.parquet', '.pq')):
        return read_parquet(content, path_column, label_column)
    return read_csv(content, path_column, label_column, delimiter)


def table_classes(path: str, **kwargs: str) -> List[str]:
    """Names of the classes in a table, see :meth:`Table.classes`.

    Args:
        path (str): The file, also one that MMEngine's backends can read.
        **kwargs (str): Columns and delimiter, see :func:`read_table`.

    Returns:
        List[str]: The names.

    Raises:
        ValueError: If the file lists nothing or is malformed.
    """
    try:
        table = read_table(path, get(path), **kwargs)
    except RecordError as error:
        raise error.inside(path) from error
    if not table.names:
        raise ValueError(f'{path} lists no image')
    try:
        return table.classes()
    except RecordError as error:
        raise error.inside(path) from error


@DATASETS.register_module()
class ImageTable(ListedImages):
    """A CSV or Parquet file with a column of paths and one of labels.

    Labels are names of classes or integers from 0, see :class:`Table`. Paths
    are relative to ``data_prefix`` in ``data_root``, must not lead out of it
    and come once.

    Args:
        ann_file (str): The file, relative to ``data_root``: Parquet if it ends
            in ``.parquet`` or ``.pq`` (this needs pyarrow), else CSV with a
            header.
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
        """Files that are read.

        Returns:
            List[str]: ``ann_file`` and, if there is one, ``classes_from``.
        """
        if self.classes_from is None:
            return [self.ann_file]
        return [self.ann_file, join_inside(self.data_root, self.classes_from)]

    def settings(self) -> Dict[str, Any]:
        """What else decides how the files are read.

        Returns:
            Dict[str, Any]: The columns and the classes, if they were given.
        """
        return dict(
            files=self.ann_files(), classes=self.CLASSES, **self.columns
        )

    def read(self, *contents: bytes) -> Tuple[Records, Sequence[str]]:
        """Read the files.

        Args:
            *contents (bytes): Their content.

        Returns:
            Tuple[Records, Sequence[str]]: The images and the classes.

        Raises:
            RecordError: If a file is malformed, a label is none of the
                classes, or a path leads out of the folder or comes twice.
        """
        files = self.ann_files()
        table = read_table(files[0], contents[0], **self.columns)
        classes = self.CLASSES
        if classes is None:
            source = table
            if len(files) > 1:
                try:
                    source = read_table(files[1], contents[1], **self.columns)
                except RecordError as error:
                    raise error.inside(files[1]) from error
            classes = source.classes()
        number_of = {name: i for i, name in enumerate(classes)}
        numbers = np.array(
            [number_of.get(name, -1) for name in table.names], dtype=np.int32
        )
        records = table.records.check()
        labels = numbers[records.labels]
        if (labels < 0).any():
            record = int(np.argmax(labels < 0))
            raise RecordError(
                f'{table.names[records.labels[record]]!r}, the label of '
                f'{records.path(record)!r}, is none of the {len(classes)} '
                f'classes of {files[-1]}',
                records.line(record),
            )
        return records._replace(labels=labels), classes
