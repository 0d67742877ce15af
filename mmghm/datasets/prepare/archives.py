"""Archives from elsewhere: downloaded in parts, verified, unpacked safely."""

import gzip
import hashlib
import lzma
import os
import os.path as osp
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass

import rich.progress
from filelock import FileLock
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mmghm.utils.errors import UserError

# What reading a damaged archive may raise.
_DAMAGES = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    # Of zipfile: an encrypted member, a compression that it does not know.
    RuntimeError,
)


@dataclass(frozen=True)
class Archive:
    """An archive, or a single file, and the file or folder that it creates.

    By that, the name of a single file, one sees that it has been unpacked. The
    MD5 is the published one, hexadecimal, or empty.
    """

    url: str
    md5: str
    creates: str

    @property
    def name(self) -> str:
        """File name, str."""
        return osp.basename(self.url)


class ArchiveError(UserError):
    """An archive that is not what it should be."""


def download(archive: Archive, folder: str) -> str:
    """Download an archive, going on where an earlier attempt ended.

    The path is that of a verified file. A wrong checksum is an
    :class:`ArchiveError`, and removes the file; a connection that fails is an
    ``OSError``, and what has come stays for the next attempt.
    """
    path = osp.join(folder, archive.name)
    if osp.exists(path):
        _verify(path, archive)
        return path
    partial = f'{path}.partial'
    os.makedirs(folder, exist_ok=True)
    try:
        _fetch(archive.url, partial)
    except OSError as error:
        have = osp.getsize(partial) if osp.exists(partial) else 0
        raise OSError(
            f'{archive.url}: {error}. Run again to go on from byte {have:,}'
        ) from error
    # Verified before it gets the name that others look for.
    _verify(partial, archive)
    os.replace(partial, path)
    return path


def _fetch(url: str, path: str) -> None:
    """Append to a file what it lacks."""
    have = osp.getsize(path) if osp.exists(path) else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={have}-'})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing is lacking.
            return
        raise
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    described = TextColumn('{task.description}')
    with response, Progress(described, *columns, TimeRemainingColumn()) as bar:
        # 200: this server sends all of it, whatever was asked for.
        resumed = response.status == 206
        start = have if resumed else 0
        length = response.headers.get('Content-Length')
        total = start + int(length) if length else None
        task = bar.add_task(osp.basename(url), total=total, completed=start)
        with open(path, 'ab' if resumed else 'wb') as file:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                bar.advance(task, len(chunk))
    if total is not None and osp.getsize(path) < total:
        raise OSError(f'the connection ended after {osp.getsize(path):,} bytes')


def _verify(path: str, archive: Archive) -> None:
    if not archive.md5:
        return
    digest = hashlib.md5(usedforsecurity=False)
    with rich.progress.open(
        path, 'rb', description=f'verify {archive.name}'
    ) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != archive.md5:
        os.remove(path)
        raise ArchiveError(
            f'{path} has md5 {digest.hexdigest()}, but {archive.md5} is '
            'published; it was removed, run again to download it again'
        )


def unpack(path: str, folder: str, last: str = '') -> None:
    """Unpack a zip or tar archive, all of it or nothing.

    ``last`` is what others take as the sign that all is there; it is put in its
    place last. A member that would land outside of the folder, is a link or a
    device or is there already, and an archive that is damaged, encrypted or
    empty, are an :class:`ArchiveError` that leaves nothing behind.
    """
    os.makedirs(folder, exist_ok=True)
    # Beside the final place, so that moving takes no copy.
    scratch = osp.join(folder, f'.{osp.basename(path)}.unpacking')
    shutil.rmtree(scratch, ignore_errors=True)
    os.mkdir(scratch)
    try:
        if zipfile.is_zipfile(path):
            _unpack_zip(path, scratch)
        else:
            _unpack_tar(path, scratch)
        names = os.listdir(scratch)
        if not names:
            raise ArchiveError(f'{path} is empty')
        for name in names:
            if osp.lexists(osp.join(folder, name)):
                raise ArchiveError(
                    f'{osp.join(folder, name)} exists already; move it away to '
                    f'unpack {path}'
                )
        for name in sorted(names, key=lambda name: name == last.split('/')[0]):
            os.rename(osp.join(scratch, name), osp.join(folder, name))
    except (*_DAMAGES, OSError) as error:
        # A file that cannot be written names itself.
        if getattr(error, 'filename', None):
            raise
        why = ' '.join(str(error).split())
        raise ArchiveError(f'cannot unpack {path}: {why}') from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack_zip(path: str, folder: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            # zipfile would put it elsewhere without a word.
            if osp.isabs(name) or '..' in name.replace('\\', '/').split('/'):
                raise ArchiveError(f'{path}: {name!r} leads out of the folder')
        archive.extractall(folder)


def _unpack_tar(path: str, folder: str) -> None:
    if not hasattr(tarfile, 'data_filter'):
        raise ArchiveError(
            'this Python cannot unpack tar archives safely; use 3.9.17, '
            '3.10.12, 3.11.4, 3.12 or newer'
        )
    with tarfile.open(path) as archive:
        for member in archive:
            # Links can be chained so that none of them seems to lead out
            # (CVE-2025-4517); sets of images need none.
            if not (member.isreg() or member.isdir()):
                raise ArchiveError(
                    f'{path}: {member.name!r} is neither a file nor a folder'
                )
            archive.extract(member, folder, filter='data')
        # Checksums of the compression come after the last member.
        assert archive.fileobj is not None, 'open'
        while archive.fileobj.read(1 << 20):
            pass


def prepare(archive: Archive, folder: str, keep: bool = False) -> None:
    """Download and unpack an archive, unless that was done before."""
    os.makedirs(folder, exist_ok=True)
    # A second process waits, and finds it done.
    with FileLock(osp.join(folder, f'.{archive.name}.lock')):
        if osp.exists(osp.join(folder, archive.creates)):
            return
        path = download(archive, folder)
        if archive.name == archive.creates:
            return
        unpack(path, folder, archive.creates)
        if not osp.exists(osp.join(folder, archive.creates)):
            raise ArchiveError(f'{path} does not hold {archive.creates}')
        if not keep:
            os.remove(path)
