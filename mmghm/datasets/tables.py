"""Paths and labels of millions of images, from lists and tables."""

from __future__ import annotations

import csv
import io
import re
from contextlib import contextmanager
from itertools import repeat
from typing import (
    TYPE_CHECKING,
    Any,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from mmghm.utils.dependencies import LazyModule
from mmghm.utils.errors import UserError
from mmghm.utils.paths import escapes_root

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = LazyModule('pyarrow')
pc = LazyModule('pyarrow.compute')
pq = LazyModule('pyarrow.parquet')

# Bytes of a list that are read at a time; reading takes some times as many.
_CHUNK = 1 << 22
# What stands where a label is missing.
_MISSING = ('nan', 'none', 'null', 'na', 'n/a')


class AnnotationError(UserError):
    """A record that is not what it should be; line 0 if there are none."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


@contextmanager
def reading(ann_file: str) -> Iterator[None]:
    """Name file and line where a record is not what it should be."""
    try:
        yield
    except AnnotationError as error:
        where = f'{ann_file}, line {error.line}' if error.line else ann_file
        raise UserError(f'{where}: {error}') from error


class AnnotationTable(NamedTuple):
    """Images of a list as columns: 8 or 12 bytes an image besides its path.

    The columns are never written to, so that forked processes use the same memory.

    Args:
        paths (pa.Array): Binary (n,): a path may hold bytes that are not
            UTF-8.
        labels (np.ndarray): int32 (n,).
        lines (Optional[np.ndarray]): int32 (n,), number of the line of each
            image in its file, from 1; None if the file has no lines.
        names (Sequence[str]): What the labels 0, 1, ... stand for; empty if
            the file has numbers only.
    """

    paths: pa.Array
    labels: np.ndarray
    lines: Optional[np.ndarray] = None
    names: Sequence[str] = ()

    def path(self, record: int) -> str:
        """Path of one image; bytes that are not UTF-8 stay what they are."""
        return self.paths[record].as_py().decode('utf-8', 'surrogateescape')

    def line(self, record: int) -> int:
        """Number of an image's line, from 1; 0 if the file has no lines."""
        return 0 if self.lines is None else int(self.lines[record])

    def take(
        self, chosen: Union[slice, Sequence[int], np.ndarray]
    ) -> AnnotationTable:
        """Keep some images, in the order given."""
        if not isinstance(chosen, slice):
            chosen = np.asarray(chosen, dtype=np.int64)
        index = np.arange(len(self.labels))[chosen]
        return self._replace(
            paths=self.paths.take(pa.array(index)),
            labels=self.labels[index],
            lines=None if self.lines is None else self.lines[index],
        )

    def classes(self) -> List[str]:
        """Names of the classes, the place of each being its number.

        They are in alphabetical order. If all are integers they are the
        numbers themselves, and the names go from 0 to the largest; integers
        with leading zeros (``'001'``) are names.
        """
        if all(re.fullmatch('0|[1-9][0-9]*', name) for name in self.names):
            largest = max(map(int, self.names), default=-1)
            check_numbers(largest, len(self.names))
            return [str(i) for i in range(largest + 1)]
        return sorted(self.names)

    def check(self) -> AnnotationTable:
        """Refuse paths that leave their folder, hold a NUL or come twice."""
        suspects = pc.match_substring_regex(self.paths, r'^$|^/|\.\.|:/|\x00')
        for record in np.flatnonzero(suspects).tolist():
            path, line = self.path(record), self.line(record)
            if '\0' in path:
                raise AnnotationError(f'{path!r} holds a NUL', line)
            if escapes_root(path):
                raise AnnotationError(
                    f'{path!r} leads out of the folder of the images', line
                )
        # Sorted, because a table of hashes takes five times the memory.
        order = pc.array_sort_indices(self.paths)
        ordered = self.paths.take(order)
        equal = np.flatnonzero(pc.equal(ordered[1:], ordered[:-1]))
        if len(equal):
            # The sort keeps the order of paths that are equal.
            record = int(order.to_numpy()[equal + 1].min())
            where = self.line(self.paths.index(self.paths[record]).as_py())
            raise AnnotationError(
                f'{self.path(record)!r} is listed '
                + (f'in line {where} too' if where else 'twice'),
                self.line(record),
            )
        return self


def pack_paths(paths: Sequence[str]) -> pa.Array:
    """Store n paths in a binary array (n,); refuse what is no text."""
    try:
        encoded = [path.encode('utf-8', 'surrogateescape') for path in paths]
    except (AttributeError, UnicodeEncodeError) as error:
        wrong = next(path for path in paths if not is_text(path))
        raise AnnotationError(f'a path must be text, got {wrong!r}') from error
    return _compact(pa.array(encoded, pa.large_binary()))


def is_text(value: Any) -> bool:
    """Whether UTF-8 can write a value: JSON knows half characters."""
    try:
        value.encode('utf-8', 'surrogateescape')
    except (AttributeError, UnicodeEncodeError):
        return False
    return True


def _compact(strings: pa.Array) -> pa.Array:
    """Store strings as bytes whose places take 4 bytes each where they fit."""
    fits = strings.nbytes < 2**31
    return strings.cast(pa.binary() if fits else pa.large_binary())


def read_list(text: bytes, num_classes: int = 0) -> AnnotationTable:
    """Read ``path label`` lines, an image each.

    Lines end in LF or CRLF, blank ones are left out; a path may hold blanks and
    bytes that are not UTF-8. The first line without a label, or with one that
    is no integer in [0, C), is an :class:`AnnotationError`; C = 0 is no bound.
    """
    # Some editors begin files with a byte order mark.
    text = text.removeprefix(b'\xef\xbb\xbf')
    tables: List[AnnotationTable] = []
    begin = lines_before = 0
    while begin < len(text) or not tables:
        end = text.find(b'\n', begin + _CHUNK) + 1 or len(text)
        part = pa.py_buffer(text)[begin:end]
        tables.append(_read_lines(part, num_classes, lines_before))
        lines_before += text.count(b'\n', begin, end)
        begin = end
    paths, labels, lines, _ = zip(*tables)
    return AnnotationTable(
        _compact(pa.concat_arrays(paths)),
        np.concatenate(labels),
        np.concatenate(lines),
    )


def _read_lines(
    text: pa.Buffer, num_classes: int, lines_before: int
) -> AnnotationTable:
    # Not pyarrow.csv, for which a single CR ends a line too.
    breaks = np.flatnonzero(np.frombuffer(text, np.uint8) == ord('\n')) + 1
    places = np.concatenate([[0], breaks, [text.size]])
    # Arrow's kernels for ASCII take strings only; they leave other bytes be.
    every = pa.LargeStringArray.from_buffers(
        len(places) - 1, pa.py_buffer(places), text
    )
    lines = pc.ascii_trim_whitespace(every)
    filled = np.flatnonzero(pc.binary_length(lines))
    lines = lines.take(pa.array(filled))
    numbers = (filled + 1 + lines_before).astype(np.int32)
    words = pc.ascii_split_whitespace(lines, max_splits=1, reverse=True)
    begins = words.offsets.to_numpy()
    paths = words.values.take(pa.array(begins[:-1]))
    digits = words.values.take(pa.array(begins[1:] - 1))
    good = pc.and_(
        pc.ascii_is_decimal(digits), pc.less_equal(pc.binary_length(digits), 9)
    )
    labels = pc.if_else(good, digits, pa.scalar('0', digits.type))
    labels = labels.cast(pa.int32()).to_numpy()
    malformed = ~np.asarray(good) | (np.diff(begins) < 2)
    wrong = malformed | (labels >= (num_classes or np.inf))
    if wrong.any():
        record = int(np.argmax(wrong))
        line = lines[record].as_buffer().to_pybytes().decode('utf-8', 'replace')
        raise AnnotationError(
            f'expected "path label", got {line!r}'
            if malformed[record]
            else f'label {labels[record]} is not below {num_classes} classes',
            int(numbers[record]),
        )
    return AnnotationTable(paths, labels, numbers)


def read_table(
    path: str,
    content: bytes,
    path_column: str = 'path',
    label_column: str = 'label',
    delimiter: str = ',',
) -> AnnotationTable:
    """Read two columns of a table.

    Args:
        path (str): Name of the file: Parquet if it ends in ``.parquet`` or
            ``.pq``, else CSV with a header.
        content (bytes): The file.
        path_column (str): Name of the column of paths.
        label_column (str): Name of the column of labels: strings or integers.
        delimiter (str): What separates fields of a CSV file.

    Returns:
        AnnotationTable: An image a row; ``names`` has what stands in the
        column of labels, each once.

    Raises:
        AnnotationError: If a column is missing or holds what it should not.
    """
    lines = None
    if path.endswith(('.parquet', '.pq')):
        paths, labels = _read_parquet(content, path_column, label_column)
    else:
        paths, labels, lines = _read_csv(
            content, path_column, label_column, delimiter
        )
    encoded = labels.dictionary_encode()
    codes = encoded.indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    names = canonical_names(
        [str(name).strip() for name in encoded.dictionary.to_pylist()],
        None if lines is None else lines[first].tolist(),
    )
    place_of = {name: i for i, name in enumerate(dict.fromkeys(names))}
    places = np.array([place_of[name] for name in names], dtype=np.int32)
    return AnnotationTable(paths, places[codes], lines, list(place_of))


def _read_csv(
    content: bytes, path_column: str, label_column: str, delimiter: str
) -> Tuple[pa.Array, pa.Array, np.ndarray]:
    """Read paths, labels and line numbers.

    Empty lines are left out, and blanks around a field. Python's reader and not
    pyarrow's, which takes a quote that nothing closes for a field as long as
    the rest of the file, and does not number lines.
    """
    # Excel begins its files with a byte order mark. Names may hold what
    # str.splitlines() takes for an end of line.
    text = io.TextIOWrapper(io.BytesIO(content), 'utf-8-sig', newline='')
    reader = csv.reader(text, delimiter=delimiter, strict=True)
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
    except UnicodeDecodeError as error:
        raise AnnotationError(f'save it as UTF-8: {error}') from error
    return (
        pack_paths(paths),
        pa.array(labels, pa.large_string()),
        np.array(lines, dtype=np.int32),
    )


def _read_parquet(
    content: bytes, path_column: str, label_column: str
) -> Tuple[pa.Array, pa.Array]:
    """Read paths and labels."""
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
            labels = labels.cast(pa.large_string())
        return _compact(paths), labels.combine_chunks()
    except pa.ArrowException as error:
        raise AnnotationError(str(error)) from error


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


def canonical_names(
    names: Sequence[str], lines: Optional[Sequence[int]] = None
) -> List[str]:
    """Labels as they are meant: 1.0 is 1, and no label is none.

    Refused, with its line if the file has lines, is one that is blank or has
    over 18 digits, or among integers is negative or says that it is missing: as
    a name it would change every class's number.
    """
    whole = [re.fullmatch(r'([0-9]+)(?:\.0+)?', name) for name in names]
    some = any(whole)
    for name, number, line in zip(names, whole, lines or repeat(0)):
        if number and len(name) > 18:
            raise AnnotationError(
                f'the label {name[:18]}... has {len(name)} digits; classes are '
                'numbered from 0, or have names',
                line,
            )
        if not name:
            raise AnnotationError('a label is blank', line)
        wrong = name.lower() in _MISSING or re.fullmatch(r'-[0-9.]+', name)
        if wrong and some:
            raise AnnotationError(
                f'{name!r} among labels that are integers', line
            )
    numbers = [number[1] for number in whole if number]
    return numbers if len(numbers) == len(names) else list(names)


def check_numbers(largest: int, different: int) -> None:
    """Refuse integer labels that are ids and no numbers of classes.

    There would be a hundred classes to each that occurs, and more than 100,000.
    """
    if largest >= max(100_000, 100 * different):
        raise AnnotationError(
            f'labels go up to {largest:,}, but only {different:,} are '
            'different: they look like ids. Classes are numbered from 0; use '
            'names, or a table, whose labels may be names'
        )
