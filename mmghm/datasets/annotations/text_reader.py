"""Lists of images, a line each, read millions of lines at a time."""

from typing import List, Tuple

import numpy as np

from .annotation_table import AnnotationError, AnnotationTable, narrow

# Bytes at a time: what is computed of them stays in the processor's cache.
_CHUNK = 1 << 21
_ZERO = np.uint8(ord('0'))
# Starts, ends and labels of records, numbers of their lines, number of lines.
_Parsed = Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]


def parse_lines(text: bytes, num_classes: int = 0) -> AnnotationTable:
    """Read ``path label`` lines.

    Args:
        text (bytes): Lines that end in LF or CRLF. Blank ones are left out. A
            path may hold blanks and bytes that are not UTF-8.
        num_classes (int): C; 0 does not bound the labels.

    Returns:
        AnnotationTable: An image a line.

    Raises:
        AnnotationError: For the first line without a label, or with one that is
            no integer in [0, C).
    """
    chunks: List[_Parsed] = []
    begin = line = 0
    while begin < len(text):
        end = text.rfind(b'\n', begin, begin + _CHUNK) + 1
        # A line that is longer than a chunk.
        end = end or text.find(b'\n', begin) + 1 or len(text)
        data = np.frombuffer(text, np.uint8, end - begin, begin)
        starts, ends, labels, lines, count = _parse(data, num_classes, line)
        chunks.append(
            (
                narrow(starts + begin, len(text)),
                narrow(ends + begin, len(text)),
                labels,
                narrow(lines, len(text)),
                count,
            )
        )
        begin, line = end, line + count
    if not chunks:
        return AnnotationTable.from_paths([], np.zeros(0))
    starts, ends, labels, lines = (
        np.concatenate(parts) for parts in list(zip(*chunks))[:4]
    )
    # As a rule no line is blank, and a record's number tells its line's.
    in_order = not len(lines) or lines[-1] == len(lines)
    return AnnotationTable(
        np.frombuffer(text, dtype=np.uint8),
        starts,
        ends,
        labels,
        None if in_order else lines,
        1,
    )


def _parse(data: np.ndarray, num_classes: int, lines_before: int) -> _Parsed:
    """Read whole lines."""
    breaks = np.flatnonzero(data == ord('\n'))
    starts, ends = np.append(0, breaks + 1), np.append(breaks, len(data))
    # Nothing follows the last break, but at the end of the text.
    count = len(breaks) + int(ends[-1] > starts[-1])
    ends = _strip(data, starts, ends)
    filled = np.flatnonzero(ends > starts)
    starts, ends, lines = (
        starts[filled],
        ends[filled],
        filled + lines_before + 1,
    )
    starts = _skip_blanks(data, starts)
    labels, places = _parse_labels(data, starts, ends)
    path_ends = _strip(data, starts, places)
    # A path, and a blank between it and its label.
    wrong = (labels < 0) | (path_ends <= starts) | (path_ends == places)
    if num_classes:
        outside = ~wrong & (labels >= num_classes)
        wrong |= outside
    if wrong.any():
        record = int(np.argmax(wrong))
        line = data[starts[record] : ends[record]].tobytes()
        raise AnnotationError(
            f'label {labels[record]} is not below {num_classes} classes'
            if num_classes and outside[record]
            else f'expected "path label", got {line.decode("utf-8", "replace")!r}',
            int(lines[record]),
        )
    return starts, path_ends, labels, lines, count


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


def _skip_blanks(data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Move starts behind leading blanks; something else follows them."""
    starts = starts.copy()
    active = np.arange(len(starts))
    while len(active):
        active = active[_is_blank(data[starts[active]])]
        starts[active] += 1
    return starts


def _parse_labels(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Read the digits that lines end with, and say where they begin.

    Labels are -1 where there are none or more than nine.
    """
    labels = np.zeros(len(starts), dtype=np.int32)
    places = ends.copy()
    found = np.full(len(starts), True)
    for power in 10 ** np.arange(9, dtype=np.int32):
        # Below '0' wraps around.
        digits = data[places - 1] - _ZERO
        found &= (digits < 10) & (places > starts)
        if not found.any():
            break
        # NumPy 1 would multiply in eight bits.
        labels += power * (digits * found).astype(np.int32)
        places -= found
    longer = (data[places - 1] - _ZERO < 10) & (places > starts)
    labels[longer | (places == ends)] = -1
    return labels, places
