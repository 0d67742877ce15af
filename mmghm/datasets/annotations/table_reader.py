"""Images and labels from a table: CSV or Parquet."""

import csv
import io
import re
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from mmengine.fileio import get

from .annotation_table import AnnotationError, AnnotationTable, narrow


class Table(NamedTuple):
    """A column of paths and one of labels.

    Args:
        records (AnnotationTable): The images; the label of each is its place in
            ``names``.
        names (List[str]): What stands in the column of labels, each once.
    """

    records: AnnotationTable
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
        AnnotationError: If one is blank or has over 18 digits, or among integers
            one is negative or says that it is missing: as a name it would
            change every class's number.
    """
    whole = [re.fullmatch(r'([0-9]+)(?:\.0+)?', name) for name in names]
    for place, name in enumerate(names):
        if whole[place] and len(name) > 18:
            raise AnnotationError(
                f'the label {name[:18]}... has {len(name)} digits; classes are '
                'numbered from 0, or have names',
                lines[place] if lines else 0,
            )
    if all(whole):
        return [match[1] for match in whole if match]
    for place, name in enumerate(names):
        line = lines[place] if lines else 0
        if not name:
            raise AnnotationError('a label is blank', line)
        wrong = name.lower() in _MISSING or re.fullmatch(r'-[0-9.]+', name)
        if wrong and any(whole):
            raise AnnotationError(
                f'{name!r} among labels that are integers', line
            )
    return list(names)


def check_numbers(largest: int, different: int) -> None:
    """Refuse integer labels that are ids and no numbers of classes.

    Args:
        largest (int): The largest label.
        different (int): How many different ones there are.

    Raises:
        AnnotationError: If there would be a hundred classes to each that occurs,
            and more than 100,000.
    """
    if largest >= max(100_000, 100 * different):
        raise AnnotationError(
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
        AnnotationError: If a column is missing, a line is shorter or longer than
            the header or is no CSV, or a label is missing.
    """
    # Excel begins its files with a byte order mark.
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise AnnotationError(f'save it as UTF-8: {error}') from error
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
                raise AnnotationError(
                    f'expected {len(header)} fields, got {len(row)}: {row}',
                    reader.line_num,
                )
            path, label = (row[place].strip() for place in places)
            paths.append(path)
            labels.append(label)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise AnnotationError(f'no CSV: {error}', reader.line_num) from error
    first_line: Dict[str, int] = {}
    for label, line in zip(labels, lines):
        first_line.setdefault(label, line)
    names = canonical_names(list(first_line), list(first_line.values()))
    name_of = dict(zip(first_line, names))
    place_of = {name: i for i, name in enumerate(dict.fromkeys(names))}
    records = AnnotationTable.from_paths(
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
        AnnotationError: If a column is missing, holds nulls or something else
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
                raise AnnotationError(f'column {name!r} holds nulls')
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
        raise AnnotationError(str(error)) from error
    # Arrow keeps strings as we do: one text, and where each ends.
    _, offsets, text = paths.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)
    ends = ends[paths.offset : paths.offset + len(paths) + 1]
    text = np.frombuffer(text or b'', dtype=np.uint8)
    records = AnnotationTable(
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
        raise AnnotationError(
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
        AnnotationError: If it is malformed.
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
    except AnnotationError as error:
        raise error.inside(path) from error
    if not table.names:
        raise ValueError(f'{path} lists no image')
    try:
        return table.classes()
    except AnnotationError as error:
        raise error.inside(path) from error
