"""Paths and labels of millions of images, in a few arrays."""

from concurrent.futures import ThreadPoolExecutor
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from mmghm.fileio.paths import leads_out

# Odd constants that spread bits (Knuth's and Murmur's).
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FINISH = np.uint64(0xFF51AFD7ED558CCD)
# Rows at a time: what is computed of them stays in the processor's cache.
_CHUNK = 1 << 16


class AnnotationError(ValueError):
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


class AnnotationTable(NamedTuple):
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
    ) -> 'AnnotationTable':
        """Pack paths that are strings.

        Args:
            paths (Sequence[str]): n paths.
            labels (np.ndarray): n labels.
            **kwargs (Any): ``lines`` or ``first_line``.

        Returns:
            AnnotationTable: The same as arrays.

        Raises:
            AnnotationError: If a path is no text, or holds a NUL, which no
                file name can.
        """
        # No name holds it, so that it separates them.
        try:
            joined = '\0'.join([*paths, '']).encode('utf-8', 'surrogateescape')
        except (TypeError, UnicodeEncodeError) as error:
            wrong = next(path for path in paths if not is_text(path))
            raise AnnotationError(f'a path must be text, got {wrong!r}') from (
                error
            )
        text = np.frombuffer(joined, dtype=np.uint8)
        ends = np.flatnonzero(text == 0)
        if len(ends) != len(paths):
            record = next(i for i, path in enumerate(paths) if '\0' in path)
            raise AnnotationError(f'{paths[record]!r} holds a NUL')
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

    def take(
        self, chosen: Union[slice, Sequence[int], np.ndarray]
    ) -> 'AnnotationTable':
        """Keep some images; the text is shared.

        Args:
            chosen (Union[slice, Sequence[int], np.ndarray]): Which ones.

        Returns:
            AnnotationTable: Those.
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

    def check(self) -> 'AnnotationTable':
        """Refuse paths that lead out of their folder or come twice.

        Returns:
            AnnotationTable: These.

        Raises:
            AnnotationError: If there is one.
        """
        for begin, suspects in self._by_chunks(_suspects):
            for record in suspects:
                path = self.path(begin + record)
                if leads_out(path):
                    raise AnnotationError(
                        f'{path!r} leads out of the folder of the images',
                        self.line(begin + record),
                    )
        self._check_unique()
        return self

    def hashes(self) -> np.ndarray:
        """Hash the paths; different ones may have the same hash.

        Returns:
            np.ndarray: uint64 (n,).
        """
        hashes = np.empty(len(self.labels), dtype=np.uint64)
        for begin, found in self._by_chunks(_hashes):
            hashes[begin : begin + _CHUNK] = found
        return hashes

    def _by_chunks(
        self, compute: Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
    ) -> Iterator[Tuple[int, Any]]:
        """Compute from text, starts and ends of parts, on all cores."""

        def run(begin: int) -> Tuple[int, Any]:
            chunk = slice(begin, begin + _CHUNK)
            starts, ends = self.starts[chunk], self.ends[chunk]
            low, high = starts.min(), ends.max()
            part = self.text[low:high]
            return begin, compute(part, starts - low, ends - low)

        # NumPy lets other threads work meanwhile.
        with ThreadPoolExecutor() as pool:
            yield from pool.map(run, range(0, len(self.labels), _CHUNK))

    def _check_unique(self) -> None:
        hashes = self.hashes()
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
                raise AnnotationError(
                    f'{path!r} is listed '
                    + (f'in line {where} too' if where else 'twice'),
                    self.line(record),
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


def _suspects(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> List[int]:
    """Rising paths of which one may lead out: few have ``..`` or ``:/``."""
    filled = np.flatnonzero(starts < ends)
    suspects = [
        np.flatnonzero(starts >= ends),
        filled[text[starts[filled]] == ord('/')],
    ]
    for first, second in ('..', ':/'):
        found = text == ord(first)
        found[:-1] &= text[1:] == ord(second)
        found[-1:] = False
        holders = np.searchsorted(ends, np.flatnonzero(found), 'right')
        suspects.append(holders[holders < len(ends)])
    return np.unique(np.concatenate(suspects)).tolist()


def _hashes(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Hash pieces of a text; uint64 (n,)."""
    # A word at every byte.
    padded = np.append(text, np.zeros(8, dtype=np.uint8))
    words = np.ndarray(len(text) + 1, '<u8', padded, strides=(1,))
    hashes = (ends - starts).astype(np.uint64)
    # Those that have not ended, and how far they are.
    active, state = np.arange(len(starts)), hashes.copy()
    places = starts.astype(np.int64)
    while len(active):
        left = ends - places
        shortest = left.min()
        if shortest <= 0:
            ended, going = active[left <= 0], left > 0
            hashes[ended] = state[~going]
            active, state, places, ends, left = (
                array[going] for array in (active, state, places, ends, left)
            )
        word = words[places]
        if shortest < 8:
            word <<= (8 * (8 - left.clip(max=8))).astype(np.uint64)
        state ^= word
        state *= _MIX
        state ^= state >> np.uint64(29)
        places += 8
    return hashes * _FINISH


def is_text(value: Any) -> bool:
    """Whether a value can be a path or a name: JSON knows half characters.

    Args:
        value (Any): What a file holds.

    Returns:
        bool: True for strings that UTF-8 can write.
    """
    try:
        value.encode('utf-8', 'surrogateescape')
    except (AttributeError, UnicodeEncodeError):
        return False
    return True
