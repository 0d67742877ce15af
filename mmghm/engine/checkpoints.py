"""Checkpoint files: written whole or not at all, checked, found again."""

import os
import os.path as osp
import re
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.utils import mkdir_or_exist

from mmghm.utils.errors import UserError

# Name of the file backend.
ATOMIC = 'atomic'


class CheckpointError(UserError):
    """A checkpoint file that is damaged, or that only trust would let in."""


class AtomicLocalBackend(LocalBackend):
    """Local files that are complete or absent, never half-written.

    Registered as ``backend_args=dict(backend='atomic')``.
    """

    def put(
        self, obj: Union[bytes, memoryview], filepath: Union[str, os.PathLike]
    ) -> None:
        """Write next to the file, then put it in its place at once.

        If it cannot be written (a full disk), what was there before stays.
        """
        folder = osp.dirname(osp.abspath(filepath))
        mkdir_or_exist(folder)
        # A name of its own, so that no two writers have the same.
        partial = f'{filepath}.{uuid.uuid4().hex}.partial'
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, filepath)
            # Keep the new name through a power cut, too.
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            if osp.exists(partial):
                os.remove(partial)
            raise OSError(
                error.errno,
                f'cannot save ({error.strerror}, {len(obj):,} bytes); earlier '
                'checkpoints are intact: make room and run again with --resume',
                str(filepath),
            ) from error


register_backend(ATOMIC, AtomicLocalBackend)


def is_bare_pickle(path: str) -> bool:
    """Whether torch before 1.6 wrote a file, by its first bytes."""
    with open(path, 'rb') as file:
        return file.read(2) == b'\x80\x02'


def check_complete(path: str) -> None:
    """Refuse a checkpoint that is truncated or damaged.

    ``torch.load`` reads changed bytes of a tensor without a word; the file's
    own checksums tell. CheckpointError or FileNotFoundError.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'no checkpoint {path}')
    if is_bare_pickle(path):
        # It has no checksums.
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        # torch minds header fields that zipfile ignores.
        torch._C.PyTorchFileReader(os.fspath(path))
    # On a damaged archive both raise whatever they stumble over.
    except Exception as error:
        raise CheckpointError(
            f'{path} is no complete checkpoint ({osp.getsize(path):,} bytes: '
            f'{error})'
        ) from error
    if damaged is not None:
        raise CheckpointError(f'{path} is damaged: wrong checksum of {damaged}')


def complete_checkpoints(
    folder: Union[str, os.PathLike], template: Optional[str] = None
) -> Iterator[str]:
    """Go through a run's complete checkpoints, the newest first.

    ``epoch_N.pth`` and ``iter_N.pth``, or by the ``filename_tmpl`` of the run's
    ``CheckpointHook``. Damaged ones are left out with a warning.
    """
    pattern = r'(?:epoch|iter)_(\d+)\.pth'
    if template is not None:
        before, _, after = template.partition('{}')
        pattern = rf'{re.escape(before)}(\d+){re.escape(after)}'
    kinds: Dict[str, List[Tuple[int, str]]] = {}
    written: Dict[str, float] = {}
    for file in Path(folder).glob('*'):
        match = re.fullmatch(pattern, file.name)
        if match and file.is_file():
            kind = file.name[: match.start(1)]
            kinds.setdefault(kind, []).append((int(match[1]), str(file)))
            time = file.stat().st_mtime
            written[kind] = max(time, written.get(kind, time))
    # A copy may have lost its time, so that only a folder with both kinds is
    # ordered by it.
    order = sorted(kinds, key=lambda kind: written[kind], reverse=True)
    for path in (p for k in order for _, p in sorted(kinds[k], reverse=True)):
        try:
            check_complete(path)
        except CheckpointError as error:
            warnings.warn(f'{error}; looking for an older one')
        else:
            yield path


def checkpoint_to_resume(
    folder: str, path: Optional[str], template: Optional[str] = None
) -> Optional[str]:
    """Choose the checkpoint that a run goes on from.

    The one that was asked for, or the newest complete one in the folder, or
    None if there is none. CheckpointError if the one asked for is damaged, with
    the newest complete one beside it.
    """
    if path is None:
        return next(complete_checkpoints(folder, template), None)
    # Other schemes (https, s3) are up to their backends.
    if '://' in path:
        return path
    try:
        check_complete(path)
    except CheckpointError as error:
        others = complete_checkpoints(osp.dirname(path) or '.')
        for other in others:
            if not osp.samefile(other, path):
                hint = f'{error}; {other} is complete'
                raise CheckpointError(hint) from error
        raise
    return path
