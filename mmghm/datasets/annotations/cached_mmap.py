"""Arrays that all processes of a machine read from one place."""

import hashlib
import logging
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Dict, Sequence, Tuple, Union
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from filelock import FileLock
from mmengine.logging import print_log

from mmghm.fileio.own_folder import own_folder
from mmghm.version import __version__

# Files that nobody has read for so long are deleted, in seconds.
_UNUSED = 30 * 24 * 3600


def cache_folder() -> Path:
    """Folder of the shared files, of the machine and the user.

    Returns:
        Path: Below what the environment variable ``MMGHM_CACHE`` names, else
        below a folder among the temporary files. Its content can be deleted at
        any time between runs.

    Raises:
        PermissionError: If it belongs to somebody else, who could put other
            content there.
    """
    # Windows gives each user a folder for temporary files.
    user = os.getuid() if hasattr(os, 'getuid') else 'user'
    try:
        if 'MMGHM_CACHE' in os.environ:
            return own_folder(os.environ['MMGHM_CACHE'], 'annotations')
        return own_folder(tempfile.gettempdir(), f'mmghm-annotations-{user}')
    except PermissionError as error:
        raise PermissionError(
            f'{error}; set MMGHM_CACHE to a folder of your own'
        ) from error


def cached_mmap(
    contents: Sequence[Union[bytes, memoryview]],
    settings: Any,
    make: Callable[[], Dict[str, Any]],
) -> Tuple[Dict[str, Any], str]:
    """Make arrays once on a machine, and map them into every process.

    The first process that asks makes them and writes them to
    :func:`cache_folder`; the others wait for it. They live in the operating
    system's page cache, once, however many ranks and workers there are, and
    the next run finds them made. A file goes by the hash of what it was made
    from, so that it cannot be out of date.

    Args:
        contents (Sequence[Union[bytes, memoryview]]): What the arrays are
            made from.
        settings (Any): How; its ``repr`` says all of it.
        make (Callable[[], Dict[str, Any]]): Makes arrays by name; strings,
            numbers and lists of them may be among these.

    Returns:
        Tuple[Dict[str, Any], str]: What ``make`` returned, not to be written
        to, and the file for :func:`load_mmap`; empty if none could be
        written, with a warning.
    """
    made_by = (torch.__version__, __version__, settings)
    key = hashlib.sha256(repr(made_by).encode())
    for content in contents:
        key.update(hashlib.sha256(content).digest())
    try:
        path = cache_folder() / f'{key.hexdigest()[:32]}.pt'
        with FileLock(f'{path}.lock'):
            try:
                _verify(path)
                return load_mmap(str(path)), str(path)
            # Absent, cut off when the machine went down, or damaged.
            except (OSError, RuntimeError, UnpicklingError, BadZipFile):
                _write(make(), path)
                return load_mmap(str(path)), str(path)
    except OSError as error:
        print_log(
            'Each process keeps a copy of the annotations, because they '
            f'cannot be shared: {error}',
            'current',
            logging.WARNING,
        )
        return make(), ''


def load_mmap(path: str) -> Dict[str, Any]:
    """Map a file of :func:`cached_mmap` into this process.

    Args:
        path (str): The file.

    Returns:
        Dict[str, Any]: What was made.
    """
    found = torch.load(path, mmap=True, weights_only=True)
    return {
        name: value.numpy() if isinstance(value, torch.Tensor) else value
        for name, value in found.items()
    }


def _verify(path: Path) -> None:
    """Compare the checksums in a file, once unless it is written again.

    A map of it would be used without a look at them.
    """
    stat, note = path.stat(), path.with_suffix('.verified')
    state = f'{stat.st_size} {stat.st_mtime_ns}'
    if not note.exists() or note.read_text() != state:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise BadZipFile(f'{path}: wrong checksum of {damaged}')
        note.write_text(state)
    # When it was used last.
    os.utime(note)


def _write(made: Dict[str, Any], path: Path) -> None:
    """Write a file, all of it or nothing, and delete those out of use."""
    for old in path.parent.iterdir():
        if not re.fullmatch(r'[0-9a-f]{32}\.pt', old.name) or old.is_symlink():
            continue
        note = old.with_suffix('.verified')
        # Those that write other lists delete here, too.
        with suppress(FileNotFoundError):
            used = (note if note.exists() else old).stat().st_mtime
            if time.time() - used > _UNUSED:
                note.unlink(missing_ok=True)
                old.unlink()
    # The lock keeps others away from this name.
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        torch.save(
            {
                name: torch.tensor(value)
                if isinstance(value, np.ndarray)
                else value
                for name, value in made.items()
            },
            file,
        )
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _verify(path)
