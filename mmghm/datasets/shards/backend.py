"""Files inside tar archives, here or on object storage."""

import hashlib
import logging
import os
import re
import zlib
from pathlib import Path
from typing import Dict, Optional, Tuple

import fsspec
from filelock import FileLock
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.logging import print_log

from mmghm.utils.errors import UserError
from mmghm.utils.own_folder import own_folder

# What fsspec reads; most of these need a package of their own.
PROTOCOLS = (
    *('file', 'http', 'https', 's3', 's3a', 'gs', 'gcs', 'az', 'abfs'),
    *('adl', 'hdfs', 'webhdfs', 'oss', 'hf', 'sftp', 'smb', 'memory'),
)


def shard_address(folder: str) -> str:
    """Prefix of the addresses of files in the shards of a folder.

    ``shard:///path``, or ``shard+s3://bucket/train`` for an address such as
    ``s3://bucket/train``; a protocol that is not known is refused.
    """
    protocol, separator, rest = folder.partition('://')
    if not separator:
        return f'shard://{os.path.abspath(folder)}'
    if protocol not in PROTOCOLS:
        raise UserError(
            f'shards can be read by {", ".join(PROTOCOLS)}, got {folder!r}'
        )
    return f'shard+{protocol}://{rest}'


def split_address(address: str) -> Tuple[str, int, int, int]:
    """Take ``shard[+PROTOCOL]://SHARD#OFFSET+SIZE-CRC`` apart, or refuse it.

    Given are the shard as fsspec names it, the first byte and the number of
    bytes of the file, and the CRC-32 of its content.
    """
    found = re.fullmatch(
        r'shard(?:\+(\w+))?://(.+)#(\d+)\+(\d+)-([0-9a-f]{8})',
        address,
        re.ASCII | re.DOTALL,
    )
    if found is None:
        raise UserError(
            'expected shard://SHARD#OFFSET+SIZE-CRC as '
            f'tools/dataset_converters/shards.py lists it, got {address!r}'
        )
    protocol, path, offset, size, crc = found.groups()
    shard = f'{protocol}://{path}' if protocol else path
    return shard, int(offset), int(size), int(crc, 16)


@register_backend(
    'shard', prefixes=['shard', *(f'shard+{name}' for name in PROTOCOLS)]
)
class ShardBackend(BaseStorageBackend):
    """MMEngine's file backend for images inside tar archives.

    Reads by fsspec, so that shards may lie on this machine or on object
    storage. ``LoadImageFromFile`` and its kin find it by the prefix of the
    path; ``backend_args`` of the transform are the arguments below.

    Without ``cache_dir`` each image is one read of its bytes, for which object
    storage makes one wait. With it a shard is downloaded whole when its first
    image is wanted, and those that were not used for the longest time make
    room: then use ``ShardSampler``, which stays with some shards at a time. A
    process asks once whether a shard is still the one that was downloaded (by
    its size, ETag and time of modification).

    Args:
        cache_dir (Optional[str]): Folder for downloaded shards, shared by the
            processes of a machine; by default what the environment variable
            ``MMGHM_SHARD_CACHE`` names, if it is set. Shards on a disk are not
            copied.
        cache_gb (float): Size that it may have, in GB (1e9 bytes); at least
            that of the shards in use. Downloads under way come on top.
        backend (str): ``'shard'``; for ``backend_args``.

    Raises:
        ValueError: If ``cache_gb`` is not above 0.
    """

    def __init__(
        self,
        cache_dir: Optional[str] = None,
        cache_gb: float = 50.0,
        backend: str = 'shard',
    ) -> None:
        if cache_gb <= 0:
            raise UserError(f'cache_gb must be above 0, got {cache_gb}')
        cache_dir = cache_dir or os.environ.get('MMGHM_SHARD_CACHE')
        self.cache_dir = Path(cache_dir) if cache_dir else None
        self.cache_bytes = int(1e9 * cache_gb)
        self._copies: Dict[str, Path] = {}

    def get(self, filepath: str) -> bytes:
        """Read a file; an ``OSError`` if it is not what was listed."""
        url, offset, size, crc = split_address(str(filepath))
        storage, path = fsspec.core.url_to_fs(url)
        local = 'file' in storage.protocol
        try:
            if local or self.cache_dir is None:
                content = storage.cat_file(path, offset, offset + size)
            else:
                content = self._read_cached(storage, path, offset, size, crc)
        except OSError:
            raise
        # Every storage's package has errors of its own.
        except Exception as error:
            raise OSError(f'{url}: {type(error).__name__}: {error}') from error
        if len(content) > size:
            raise OSError(
                f'{url}: the server sends whole archives and no parts of them; '
                'set MMGHM_SHARD_CACHE (cache_dir)'
            )
        if len(content) != size:
            raise OSError(
                f'{url} ends after {len(content)} of the {size} bytes at '
                f'{offset}: the shard was cut off or is another one'
            )
        if zlib.crc32(content) != crc:
            raise OSError(
                f'{url} holds other bytes at {offset} than when it was listed: '
                'it is damaged, or was packed again; list it again by '
                'tools/dataset_converters/shards.py index'
            )
        return content

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Read a text file."""
        return self.get(filepath).decode(encoding)

    def _read_cached(
        self,
        storage: fsspec.AbstractFileSystem,
        path: str,
        offset: int,
        size: int,
        crc: int,
    ) -> bytes:
        copy = self._copies.get(path)
        if copy is None:
            assert self.cache_dir is not None
            folder = own_folder(self.cache_dir, 'shards')
            copy = self._copies[path] = folder / _name_copy(storage, path)
        fetched = False
        while True:
            try:
                with open(copy, 'rb') as file:
                    # What the least recently used one is told by.
                    os.utime(copy)
                    file.seek(offset)
                    content = file.read(size)
            except FileNotFoundError:
                self._fetch(storage, path, copy)
                fetched = True
                continue
            if zlib.crc32(content) == crc or fetched:
                return content
            # Cut off when the machine went down, or damaged since.
            copy.unlink(missing_ok=True)

    def _fetch(
        self, storage: fsspec.AbstractFileSystem, path: str, copy: Path
    ) -> None:
        """Download a shard unless another process does."""
        with FileLock(f'{copy}.lock'):
            if copy.exists():
                return
            size = storage.size(path)
            if size is None:
                raise OSError(
                    f'{path}: the server does not tell the size of the shard'
                )
            self._make_room(copy.parent, size)
            partial = Path(f'{copy}.partial')
            storage.get_file(path, str(partial))
            if partial.stat().st_size != size:
                raise OSError(
                    f'{path}: the connection ended after '
                    f'{partial.stat().st_size:,} of {size:,} bytes'
                )
            partial.replace(copy)

    def _make_room(self, folder: Path, size: int) -> None:
        if size > self.cache_bytes:
            raise OSError(
                f'a shard of {size:,} bytes does not fit into a cache of '
                f'{self.cache_bytes:,}; raise cache_gb'
            )
        with FileLock(folder / 'shards.lock'):
            kept = {}
            for path in folder.glob(f'{"[0-9a-f]" * 16}-*'):
                ours = path.is_file() and not path.is_symlink()
                if ours and path.suffix not in ('.lock', '.partial'):
                    kept[path] = path.stat()
            total = sum(stat.st_size for stat in kept.values())
            for path in sorted(kept, key=lambda path: kept[path].st_mtime):
                if total + size <= self.cache_bytes:
                    break
                # Those who have it open can still read it.
                path.unlink(missing_ok=True)
                total -= kept[path].st_size
                print_log(f'Dropped {path} for room', 'current', logging.DEBUG)


def _name_copy(storage: fsspec.AbstractFileSystem, path: str) -> str:
    """Name a copy by the address and by what tells versions of it apart."""
    address = storage.unstrip_protocol(path)
    info = storage.info(path)
    # Each storage has its own words.
    kinds = ('size', 'etag', 'lastmodified', 'mtime', 'updated', 'md5hash')
    version = {
        key: str(value)
        for key, value in sorted(info.items())
        if re.sub('[-_ ]', '', key.lower()) in kinds
    }
    digest = hashlib.sha256(f'{address} {version}'.encode()).hexdigest()[:16]
    return f'{digest}-{address.rpartition("/")[2]}'
