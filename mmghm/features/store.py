"""Features of images, kept from one command to the next."""

import os
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from mmghm.engine.grid import exclusive_lock
from mmghm.utils.errors import UserError

_KEY_BYTES = 16


def cache_folder() -> Path:
    """Where features are kept: ``MMGHM_CACHE``, or the user's cache."""
    usual = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(os.environ.get('MMGHM_CACHE') or Path(usual) / 'mmghm')


def cache_limit() -> int:
    """Bytes of all kept features: ``MMGHM_CACHE_GB``, 10 (GB) by default."""
    text = os.environ.get('MMGHM_CACHE_GB', '10')
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float('inf'):
        raise UserError(
            f'MMGHM_CACHE_GB is a size in GB of at least 0, got {text!r}'
        )
    return int(1e9 * limit)


def image_keys(paths: Sequence[str]) -> Optional[List[bytes]]:
    """Tell files from others, and from what they were before.

    The key of each is made of its real path, size and time of change. None if
    one of them is no file here.
    """
    keys = []
    for path in paths:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        text = f'{os.path.realpath(path)}\0{found.st_size}\0{found.st_mtime_ns}'
        content = text.encode(errors='surrogateescape')
        keys.append(blake2b(content, digest_size=_KEY_BYTES).digest())
    return keys


class FeatureStore:
    """The features that one network gives, by image.

    Two files that only grow: ``features``, float32 rows of D numbers, and
    ``keys``, which are written after their rows. A killed process leaves rows
    without keys, and the next one writes over them.

    Args:
        network (str): Hexadecimal digits that tell the network and how it sees
            images from others.
        width (int): D.
    """

    def __init__(self, network: str, width: int) -> None:
        self._folder = cache_folder() / 'features' / network
        self._width = width

    def read(self, keys: Sequence[bytes]) -> Dict[bytes, int]:
        """Rows of those images, by :func:`image_keys`, that are there."""
        wanted = set(keys)
        return {
            key: row for row, key in enumerate(self._stored()) if key in wanted
        }

    def rows(self, rows: Sequence[int]) -> np.ndarray:
        """Features, float32 (n, D), of n rows of :meth:`read`."""
        shape = (len(self._stored()), self._width)
        path = self._folder / 'features'
        stored = np.memmap(path, np.float32, 'r', shape=shape)
        # The time of use, by which the oldest are removed.
        os.utime(self._folder)
        return np.asarray(stored[np.asarray(rows, dtype=np.int64)])

    def append(self, keys: Sequence[bytes], features: np.ndarray) -> None:
        """Keep features, float32 (n, D), of n images by :func:`image_keys`."""
        if features.shape[1] != self._width:
            raise UserError(
                f'the network gives {features.shape[1]} features of an image, '
                f'and its head takes {self._width}: set model.head.in_channels='
                f'{features.shape[1]}'
            )
        with exclusive_lock(self._folder):
            known = self._stored()
            with open(self._folder / 'features', 'ab') as file:
                file.truncate(4 * self._width * len(known))
                file.write(np.ascontiguousarray(features, np.float32).tobytes())
                file.flush()
                os.fsync(file.fileno())
            with open(self._folder / 'keys', 'ab') as file:
                file.truncate(_KEY_BYTES * len(known))
                file.write(b''.join(keys))
        # In use: the oldest are removed.
        os.utime(self._folder)

    def make_room(self) -> None:
        """Remove what was used longest ago until all fit into the limit."""
        limit = cache_limit()
        found = sorted(
            (p for p in self._folder.parent.iterdir() if p.is_dir()),
            key=lambda path: path.stat().st_mtime,
        )
        sizes = {p: sum(f.stat().st_size for f in p.iterdir()) for p in found}
        for path in found:
            if sum(sizes.values()) <= limit:
                return
            shutil.rmtree(path, ignore_errors=True)
            del sizes[path]

    def _stored(self) -> List[bytes]:
        path = self._folder / 'keys'
        # Without a key that a kill has cut off.
        kind = f'V{_KEY_BYTES}'
        return np.fromfile(path, kind).tolist() if path.exists() else []
