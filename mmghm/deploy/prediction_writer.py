"""Predictions on their way to a file, safe from kills."""

import csv
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import numpy as np
from filelock import FileLock, Timeout

from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

FORMATS = ('.csv', '.jsonl', '.parquet')
# Rows that Parquet is written by.
_ROWS = 1 << 14


def shown(path: str) -> str:
    r"""Path as text that every format can hold: bytes not UTF-8 as ``\xNN``."""
    return os.fsencode(path).decode('utf-8', 'backslashreplace')


class PredictionWriter:
    """Rows of predictions, written as they come, in ``OUT.partial``.

    The first line says which run they are of. A run that was killed goes on
    behind the last whole line. With ``num_logits`` the rows come later:
    ``OUT.logits`` then keeps the logits, float32.

    Args:
        out (Path): The file that they become.
        header (Dict[str, Any]): What must be equal for a run to go on.
        num_logits (int): C, to keep logits; else 0.

    Raises:
        UserError: If the file exists, has an unknown ending, is being written
            by another process, or the journal is of another run.
    """

    def __init__(
        self, out: Path, header: Dict[str, Any], num_logits: int = 0
    ) -> None:
        if out.suffix not in FORMATS:
            raise UserError(
                f'--out must end in {", ".join(FORMATS)}, got {out}'
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        # The system lets go of it when the process ends, however it ends.
        self.lock = FileLock(out.with_name(f'.{out.name}.lock'), timeout=0)
        try:
            self.lock.acquire()
        except Timeout:
            raise UserError(
                f'another process writes {out}; wait for it, or choose another '
                '--out'
            ) from None
        if out.exists():
            raise UserError(f'{out} exists; choose another --out or delete it')
        self.out = out
        self.partial = out.with_name(f'{out.name}.partial')
        self.logits_file = out.with_name(f'{out.name}.logits')
        self.num_logits = num_logits
        self.num_done = 0
        self._begin(json.dumps(header).encode() + b'\n')

    def _begin(self, first: bytes) -> None:
        """Write the first line, or cut off what a kill left unfinished."""
        self.partial.touch()
        with open(self.partial, 'rb+') as file:
            found = file.readline()
            if not found.endswith(b'\n'):
                # New, or killed before its first line.
                file.truncate(0)
                file.seek(0)
                file.write(first)
            elif found != first:
                raise UserError(
                    f'{self.partial} was begun with another model or '
                    'other options: give the same, or delete it'
                )
            most, end = None, file.tell()
            if self.num_logits:
                # As many rows as there are logits for, and the reverse.
                wide = 4 * self.num_logits
                self.logits_file.touch()
                most = self.logits_file.stat().st_size // wide
            for line in islice(file, most):
                if line.endswith(b'\n'):
                    end += len(line)
                    self.num_done += 1
            file.truncate(end)
        if self.num_logits:
            os.truncate(self.logits_file, self.num_done * wide)

    def check_order(self, paths: Iterable[str]) -> None:
        """Make sure that the images are those of the run that began.

        As many as are done are drawn from ``paths``.
        """
        drawn = islice(paths, self.num_done)
        for row in self.rows():
            if next(drawn, None) != row['path']:
                raise UserError(
                    f'{self.partial} was begun with other images: it has '
                    f'{row["path"]!r} where another one comes now; give the '
                    'same, or delete it'
                )

    def append(
        self, rows: List[Dict[str, Any]], logits: Optional[np.ndarray] = None
    ) -> None:
        """Write out a row per image, and logits (rows, C) if they are kept."""
        if logits is not None:
            with open(self.logits_file, 'ab') as file:
                file.write(logits.astype(np.float32).tobytes())
        with open(self.partial, 'a', encoding='utf-8') as file:
            file.write(''.join(f'{json.dumps(row)}\n' for row in rows))
        self.num_done += len(rows)

    def rows(self) -> Iterator[Dict[str, Any]]:
        """Read the rows back."""
        with open(self.partial, encoding='utf-8') as file:
            file.readline()
            for line in file:
                yield json.loads(line)

    def logits(self) -> np.ndarray:
        """The kept logits, (rows, C), mapped from disk."""
        shape = (self.num_done, self.num_logits)
        if not self.num_done:
            return np.zeros(shape, np.float32)
        return np.memmap(self.logits_file, np.float32, 'r', shape=shape)

    def finish(
        self,
        rows: Iterable[Dict[str, Any]],
        columns: Dict[str, type],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the file, all of it or nothing, and delete the journal.

        Args:
            rows (Iterable[Dict[str, Any]]): The rows, which may be those of
                :meth:`rows`.
            columns (Dict[str, type]): Names and types of what a row may have.
            written (Callable[[], None]): Called when all rows have been drawn,
                before the file gets its name.
        """
        made = self.out.with_name(f'{self.out.name}.made')
        try:
            _WRITERS[self.out.suffix](made, rows, columns)
            written()
        except BaseException:
            # A full disk needs the room.
            made.unlink(missing_ok=True)
            raise
        os.replace(made, self.out)
        self.partial.unlink()
        self.logits_file.unlink(missing_ok=True)
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()


def _write_csv(
    path: Path, rows: Iterable[Dict[str, Any]], columns: Dict[str, type]
) -> None:
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def _write_jsonl(
    path: Path, rows: Iterable[Dict[str, Any]], columns: Dict[str, type]
) -> None:
    with open(path, 'w', encoding='utf-8') as file:
        file.writelines(f'{json.dumps(row)}\n' for row in rows)


def _write_parquet(
    path: Path, rows: Iterable[Dict[str, Any]], columns: Dict[str, type]
) -> None:
    pyarrow = import_optional('pyarrow')
    parquet = import_optional('pyarrow.parquet')
    kinds = {
        str: pyarrow.string(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(k, kinds[v]) for k, v in columns.items()])
    every = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(every, _ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(part, schema=schema))


_WRITERS = {
    '.csv': _write_csv,
    '.jsonl': _write_jsonl,
    '.parquet': _write_parquet,
}
