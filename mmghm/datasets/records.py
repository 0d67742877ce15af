"""Paths and labels of millions of images, in a few arrays."""

import os.path as osp
from typing import (
    Any,
    Dict,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from .paths import leads_out
from .shared import read_shared

# Odd constants that spread bits (Knuth's and Murmur's).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FINISH = np.uint64(0xFF51AFD7ED558CCD)


class RecordError(ValueError):
    """A record that is not what it should be.

    Args:
        what (str): What is wrong with it.
        line (int): Number of its line, from 1; 0 if its file has no lines.
    """

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line

    def inside(self, ann_file: str) -> ValueError:
        """Name the file.

        Args:
            ann_file (str): The file.

        Returns:
            ValueError: With file, line and what is wrong.
        """
        where = f'{ann_file}, line {self.line}' if self.line else ann_file
        return ValueError(f'{where}: {self}')


class Records(NamedTuple):
    """Images of a list as arrays, some 12 bytes an image beside its path.

    Args:
        text (np.ndarray): uint8, the bytes that hold the paths.
        starts (np.ndarray): Where each path begins in it, (n,).
        ends (np.ndarray): Where each path ends, (n,).
        labels (np.ndarray): int32 (n,).
        lines (Optional[np.ndarray]): Number of the line of each image in its
            file, (n,); None if record ``i`` stands in line ``i + first_line``.
        first_line (int): See ``lines``; 0 if the file has no lines.
    """

    text: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    lines: Optional[np.ndarray] = None
    first_line: int = 0

    @classmethod
    def from_paths(
        cls, paths: Sequence[str], labels: np.ndarray, **kwargs: Any
    ) -> 'Records':
        """Pack paths that are strings.

        Args:
            paths (Sequence[str]): n paths.
            labels (np.ndarray): n labels.
            **kwargs (Any): ``lines`` or ``first_line``.

        Returns:
            Records: The same as arrays.

        Raises:
            RecordError: If a path holds a NUL, which no file name can.
        """
        # No name holds it, so that it separates them.
        joined = '\0'.join([*paths, '']).encode('utf-8', 'surrogateescape')
        text = np.frombuffer(joined, dtype=np.uint8)
        ends = np.flatnonzero(text == 0)
        if len(ends) != len(paths):
            record = next(i for i, path in enumerate(paths) if '\0' in path)
            raise RecordError(f'{paths[record]!r} holds a NUL')
        starts = np.append(0, ends + 1)[:-1]
        return cls(
            text,
            narrow(starts, len(text)),
            narrow(ends, len(text)),
            np.asarray(labels, dtype=np.int32),
            **kwargs,
        )

    def path(self, record: int) -> str:
        """Path of one image.

        Args:
            record (int): Which one.

        Returns:
            str: As its file has it; bytes that are not UTF-8 reach the file
            system as they are.
        """
        content = self.text[self.starts[record] : self.ends[record]].tobytes()
        return content.decode('utf-8', 'surrogateescape')

    def line(self, record: int) -> int:
        """Number of an image's line, from 1.

        Args:
            record (int): Which one, at least 0.

        Returns:
            int: The number, 0 if the file has no lines.
        """
        if self.lines is not None:
            return int(self.lines[record])
        return self.first_line and self.first_line + record

    def take(self, chosen: Union[slice, Sequence[int]]) -> 'Records':
        """Keep some images; the text is shared.

        Args:
            chosen (Union[slice, Sequence[int]]): Which ones.

        Returns:
            Records: Those.
        """
        index: Any = chosen
        if not isinstance(chosen, slice):
            index = np.asarray(chosen, dtype=np.int64)
        lines = self.lines
        if lines is None and self.first_line:
            lines = np.arange(len(self.labels), dtype=np.int32)
            lines += np.int32(self.first_line)
        return self._replace(
            starts=self.starts[index],
            ends=self.ends[index],
            labels=self.labels[index],
            lines=None if lines is None else lines[index],
        )

    def check(self) -> 'Records':
        """Refuse paths that lead out of their folder or come twice.

        Returns:
            Records: These.

        Raises:
            RecordError: If there is one.
        """
        # Few lists hold two dots or a leading slash anywhere.
        dots = (self.text[:-1] == ord('.')) & (self.text[1:] == ord('.'))
        holders = np.searchsorted(self.ends, np.flatnonzero(dots), 'right')
        filled = np.flatnonzero(self.starts < self.ends)
        suspects = [
            np.flatnonzero(self.starts >= self.ends),
            filled[self.text[self.starts[filled]] == ord('/')],
            holders[holders < len(self.ends)],
        ]
        for record in np.unique(np.concatenate(suspects)).tolist():
            path = self.path(record)
            if leads_out(path):
                raise RecordError(
                    f'{path!r} leads out of the folder of the images',
                    self.line(record),
                )
        self._check_unique()
        return self

    def _check_unique(self) -> None:
        hashes = _hashes(self.text, self.starts, self.ends)
        ordered = np.sort(hashes)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(twice):
            return
        # Other paths may have the same hash.
        seen: Dict[str, int] = {}
        for record in np.flatnonzero(np.isin(hashes, twice)).tolist():
            path = self.path(record)
            first = seen.setdefault(path, record)
            if first != record:
                where = self.line(first)
                raise RecordError(
                    f'{path!r} is listed '
                    + (f'in line {where} too' if where else 'twice'),
                    self.line(record),
                )


class RecordList(Sequence):
    """Records as the list of dicts that MMEngine's datasets hold.

    A dict is made when it is asked for.

    Args:
        records (Records): The images.
        folder (str): Folder that their paths are relative to, or its address.
        ann_file (str): The file that lists them, for messages.
        shared (str): The file that all of the records were read from by
            :func:`read_shared`, if there is one: other processes get its name
            and not its content.
    """

    def __init__(
        self, records: Records, folder: str, ann_file: str, shared: str = ''
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

    def __deepcopy__(self, memo: dict) -> 'RecordList':
        # Nothing writes to the arrays.
        return self

    def __reduce__(self) -> Any:
        records = None if self.shared else self.records
        return _record_list, (records, self.folder, self.ann_file, self.shared)

    def take(self, chosen: Union[slice, Sequence[int]]) -> 'RecordList':
        """Keep some images.

        Args:
            chosen (Union[slice, Sequence[int]]): Which ones.

        Returns:
            RecordList: Those.
        """
        kept = self.records.take(chosen)
        return type(self)(kept, self.folder, self.ann_file)


def _record_list(
    records: Optional[Records], folder: str, ann_file: str, shared: str
) -> RecordList:
    """Undo RecordList.__reduce__."""
    if records is None:
        made = read_shared(shared)
        records = Records(**{name: made[name] for name in Records._fields})
    return RecordList(records, folder, ann_file, shared)


def parse_lines(text: bytes, num_classes: int = 0) -> Records:
    """Read ``path label`` lines, all of them at once.

    Args:
        text (bytes): Lines that end in LF or CRLF. Blank ones are left out. A
            path may hold blanks and bytes that are not UTF-8.
        num_classes (int): C; 0 does not bound the labels.

    Returns:
        Records: An image a line.

    Raises:
        RecordError: For the first line without a label, or with one that is
            no integer in [0, C).
    """
    data = np.frombuffer(text, dtype=np.uint8)
    breaks = np.flatnonzero(data == ord('\n'))
    starts = np.append(0, breaks + 1)
    ends = np.append(breaks, len(data))
    ends = _strip(data, starts, ends)
    kept = np.flatnonzero(ends > starts)
    lines = None
    if len(kept) < len(starts):
        starts, ends = starts[kept], ends[kept]
        # Only the end of most lists is blank.
        if len(kept) and kept[-1] >= len(kept):
            lines = narrow(kept + 1, len(data))
    labels, places = _parse_labels(data, starts, ends)
    path_ends = _strip(data, starts, places)
    while True:
        blank = np.flatnonzero(
            (starts < path_ends) & _is_blank(data[starts.clip(max=len(data) - 1)])
        )
        if not len(blank):
            break
        starts[blank] += 1
    # Between a path and its label there is a blank.
    wrong = (labels < 0) | (path_ends <= starts) | (path_ends == places)
    if num_classes:
        wrong |= labels >= num_classes
    if wrong.any():
        record = int(np.argmax(wrong))
        line = data[starts[record] : ends[record]].tobytes()
        shown = line.decode('utf-8', 'replace')
        what = f'expected "path label", got {shown!r}'
        if labels[record] >= 0 and path_ends[record] not in (
            starts[record],
            places[record],
        ):
            what = f'label {labels[record]} is not below {num_classes} classes'
        raise RecordError(what, int(kept[record]) + 1)
    return Records(
        data,
        narrow(starts, len(data)),
        narrow(path_ends, len(data)),
        labels.astype(np.int32),
        lines,
        1,
    )


def narrow(places: np.ndarray, size: int) -> np.ndarray:
    """Store places in a text in half the bytes where they fit.

    Args:
        places (np.ndarray): Integers in [0, size].
        size (int): Length of the text.

    Returns:
        np.ndarray: int32, or int64 for 2 GiB of text and more.
    """
    return places.astype(np.int32 if size < 2**31 else np.int64)


def _is_blank(characters: np.ndarray) -> np.ndarray:
    """Space, and tab to carriage return."""
    # Unsigned: what lies below tab wraps around.
    return (characters == ord(' ')) | (characters - np.uint8(9) < 5)


def _strip(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Move ends before trailing blanks."""
    ends = ends.copy()
    active = np.flatnonzero(ends > starts)
    while len(active):
        active = active[_is_blank(data[ends[active] - 1])]
        ends[active] -= 1
        active = active[ends[active] > starts[active]]
    return ends


def _parse_labels(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Read the digits that lines end with, and say where they begin.

    Labels are -1 where there are none or more than nine.
    """
    labels = np.zeros(len(starts), dtype=np.int64)
    places = ends.copy()
    active = np.arange(len(starts))
    for power in 10 ** np.arange(9):
        # Below '0' wraps around.
        digits = data[places[active] - 1] - np.uint8(ord('0'))
        found = digits < 10
        active = active[found]
        labels[active] += power * digits[found].astype(np.int64)
        places[active] -= 1
        active = active[places[active] > starts[active]]
    inside = places > starts
    longer = inside & (data[places - 1] - np.uint8(ord('0')) < 10)
    labels[longer | (places == ends)] = -1
    return labels, places


def _hashes(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Hash pieces of data, eight bytes at a time; uint64 (n,)."""
    padded = np.append(data, np.zeros(8, dtype=np.uint8))
    # A word at every byte.
    words = np.ndarray(len(data) + 1, '<u8', padded, strides=(1,))
    hashes = (ends - starts).astype(np.uint64)
    active = np.arange(len(starts))
    places = starts.astype(np.int64)
    while len(active):
        left = (ends[active] - places).astype(np.int64)
        active, places, left = (a[left > 0] for a in (active, places, left))
        surplus = 8 * (8 - left.clip(max=8)).astype(np.uint64)
        word = words[places] << surplus
        mixed = (hashes[active] ^ word) * _MIX
        hashes[active] = mixed ^ (mixed >> np.uint64(29))
        places = places + 8
    return hashes * _FINISH
