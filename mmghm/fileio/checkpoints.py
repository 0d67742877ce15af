"""Checkpoint files: written whole or not at all, checked, read without risk."""

import hashlib
import os
import os.path as osp
import pickle
import re
import struct
import uuid
import warnings
import zipfile
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union
from unittest.mock import patch
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import get_torchvision_models
from mmengine.utils import digit_version, mkdir_or_exist
from mmengine.utils.dl_utils import TORCH_VERSION

from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

# Name of the file backend.
ATOMIC = 'atomic'
# What zipfile may raise on a damaged directory of the archive.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    ValueError,
)


class CheckpointError(ValueError):
    """A checkpoint file that is damaged, or that only trust would let in."""


class AtomicLocalBackend(LocalBackend):
    """Local files that are complete or absent, never half-written.

    Registered as ``backend_args=dict(backend='atomic')``.
    """

    def put(
        self, obj: Union[bytes, memoryview], filepath: Union[str, os.PathLike]
    ) -> None:
        """Write beside the file, then put it in its place at once.

        Args:
            obj (Union[bytes, memoryview]): Content.
            filepath (Union[str, os.PathLike]): Path.

        Raises:
            OSError: If it cannot be written (a full disk); what was there
                before is left as it was.
        """
        folder = osp.dirname(osp.abspath(filepath))
        mkdir_or_exist(folder)
        # A name of its own, lest two writers share one.
        partial = f'{filepath}.{uuid.uuid4().hex}.partial'
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, filepath)
            _sync_folder(folder)
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


def _sync_folder(folder: str) -> None:
    """Let the new name survive a power cut, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_complete(path: str) -> None:
    """Refuse a checkpoint that is truncated or damaged.

    ``torch.load`` reads changed bytes of a tensor without a word; the file's
    own checksums tell.

    Args:
        path (str): File.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is empty, truncated or its checksums differ.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'no checkpoint {path}')
    with open(path, 'rb') as file:
        magic = file.read(2)
    # Files of torch before 1.6 are bare pickles and have no checksums.
    if magic == b'\x80\x02':
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        # torch minds header fields that zipfile ignores.
        torch._C.PyTorchFileReader(os.fspath(path))
    except _ZIP_ERRORS as error:
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

    Damaged ones are left out with a warning.

    Args:
        folder (Union[str, os.PathLike]): Where the run saves.
        template (Optional[str]): ``filename_tmpl`` of the run's
            ``CheckpointHook``, if it has one.

    Yields:
        str: Path of ``epoch_N.pth`` or ``iter_N.pth``, or by the template.
    """
    pattern = r'(?:epoch|iter)_(\d+)\.pth'
    if template is not None:
        before, _, after = template.partition('{}')
        pattern = rf'{re.escape(before)}(\d+){re.escape(after)}'
    names = os.listdir(folder) if osp.isdir(folder) else []
    found = [re.fullmatch(pattern, name) for name in names]
    number = {
        osp.join(folder, match.string): int(match[1])
        for match in found
        if match
    }
    paths = [path for path in number if osp.isfile(path)]
    # By time: a folder may hold both kinds.
    for path in sorted(
        paths, key=lambda p: (osp.getmtime(p), number[p]), reverse=True
    ):
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

    Args:
        folder (str): Where the run saves.
        path (Optional[str]): Checkpoint that was asked for, or None for the
            newest complete one.
        template (Optional[str]): See :func:`complete_checkpoints`.

    Returns:
        Optional[str]: Its path; None if the folder has none.

    Raises:
        CheckpointError: If the one asked for is damaged. Names the newest
            complete one beside it.
        FileNotFoundError: If it does not exist.
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
        other = next((o for o in others if not osp.samefile(o, path)), None)
        hint = f'; {other} is complete' if other else ''
        raise CheckpointError(f'{error}{hint}') from error
    return path


def read_safetensors(path: Union[str, os.PathLike]) -> Dict[str, torch.Tensor]:
    """Read the weights of a published model.

    Args:
        path (Union[str, os.PathLike]): A ``.safetensors`` file.

    Returns:
        Dict[str, torch.Tensor]: Tensors on the CPU by name.

    Raises:
        UserError: If it cannot be read, or safetensors is missing.
    """
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(
            f"{path} needs safetensors: pip install 'mmghm[deploy]'"
        ) from error
    try:
        return load_file(path)
    except Exception as error:
        # safetensors has an error class of its own for damaged files.
        raise UserError(f'cannot read {path}: {error}') from error


@contextmanager
def safe_checkpoints(trusted: Sequence[str] = ()) -> Iterator[None]:
    """Let MMEngine read checkpoints without running code from them.

    Inside the context local files and URLs are checked for completeness and
    read by torch's safe loader, which is given only what MMEngine writes:
    tensors, numpy arrays and the log history, a container of numbers.
    ``.safetensors`` files are read as well.

    Args:
        trusted (Sequence[str]): Files or addresses that may hold anything.

    Yields:
        None: The context.
    """
    trusted_files = {osp.realpath(path) for path in trusted}

    def load_file(
        filename: str, map_location: Any = None, trust: bool = False
    ) -> Any:
        filename = osp.expanduser(filename)
        if filename.endswith('.safetensors'):
            return dict(state_dict=read_safetensors(filename))
        check_complete(filename)
        if trust or osp.realpath(filename) in trusted_files:
            return torch.load(
                filename, map_location=map_location, weights_only=False
            )
        try:
            checkpoint = torch.load(
                filename, map_location=map_location, weights_only=True
            )
        except pickle.UnpicklingError as error:
            raise CheckpointError(_distrust(filename, error)) from error
        except OSError:
            raise
        # Damaged files raise whatever the reader stumbles over.
        except Exception as error:
            raise CheckpointError(f'cannot read {filename}: {error}') from error
        if isinstance(checkpoint, dict) and isinstance(
            checkpoint.get('meta'), dict
        ):
            # A config's text, which Runner.resume would run as Python.
            checkpoint['meta'].pop('config', None)
        return checkpoint

    def load_url(filename: str, map_location: Any = None, **_: Any) -> Any:
        path = osp.join(torch.hub.get_dir(), 'checkpoints', _cached(filename))
        if get_local_rank() == 0 and not osp.exists(path):
            mkdir_or_exist(osp.dirname(path))
            content = _content_hash(filename)
            try:
                torch.hub.download_url_to_file(filename, path, content)
            except RuntimeError as error:
                raise CheckpointError(
                    f'{filename} is not what its name promises: {error}'
                ) from error
            except OSError as error:
                raise UserError(
                    f'cannot download {filename} ({error}); give a file or '
                    'another address in its place. Configs that begin with '
                    'pre-trained weights take it from the environment variable '
                    'PRETRAINED; PRETRAINED=none begins with random weights'
                ) from error
        barrier()
        return load_file(path, map_location, trust=filename in trusted)

    def load_torchvision(filename: str, map_location: Any = None) -> Any:
        name, models = filename.partition('://')[2], get_torchvision_models()
        if name not in models:
            raise UserError(
                f'torchvision has no weights {name!r}{closest(name, models)}'
            )
        return load_url(models[name], map_location)

    register = CheckpointLoader.register_scheme
    before = dict(CheckpointLoader._schemes)
    register(prefixes='', loader=load_file, force=True)
    register(prefixes=['http://', 'https://'], loader=load_url, force=True)
    zoo = ['torchvision://', 'modelzoo://']
    register(prefixes=zoo, loader=load_torchvision, force=True)
    try:
        # Further model zoos (open-mmlab://, mmcls://) download by this one.
        http = patch('mmengine.runner.checkpoint.load_from_http', load_url)
        with _mmengine_globals(), http:
            yield
    finally:
        for prefix, loader in before.items():
            register(prefixes=prefix, loader=loader, force=True)


# Whose names end in the first digits of the content's SHA-256. Elsewhere it may
# be a date.
_HASHED_HOSTS = ('download.pytorch.org', 'download.openmmlab.com')


def _content_hash(address: str) -> Optional[str]:
    """What a name promises of the content's SHA-256."""
    parts = urlparse(address)
    found = re.search(r'-([0-9a-f]{8})\.(?:pth|pt)$', parts.path)
    return found[1] if found and parts.hostname in _HASHED_HOSTS else None


def _cached(address: str) -> str:
    """Where a download is kept, below the folder of all.

    Two addresses may end in one name. One that has the content's hash in it
    stays what PyTorch itself calls it.
    """
    name = osp.basename(address.partition('?')[0])
    if _content_hash(address):
        return name
    whole = hashlib.sha256(address.encode()).hexdigest()[:16]
    return osp.join(whole, name)


def _distrust(filename: str, error: Exception) -> str:
    if digit_version(TORCH_VERSION) < digit_version('2.6.0'):
        why = f'torch {TORCH_VERSION} cannot read it safely, 2.6 and newer can'
    else:
        # torch wraps the reason in advice to trust the file.
        reason = str(error.__context__ or error)
        found = re.search(r'GLOBAL ([\w.]+)', reason)
        why = f'it asks for {found[1]}' if found else reason.splitlines()[0]
    return (
        f'{filename} holds more than tensors and could run code while it is '
        f'read ({why}). If you trust whoever made it, add --trust-checkpoint'
    )


def _history_statistic(owner: Any, name: str) -> Any:
    """What ``getattr`` may do in a checkpoint: name HistoryBuffer's methods."""
    if owner is HistoryBuffer and name in HistoryBuffer._statistics_methods:
        return getattr(owner, name)
    raise pickle.UnpicklingError(
        f'the checkpoint asks for attribute {name!r} of {owner!r}'
    )


@contextmanager
def _mmengine_globals() -> Iterator[None]:
    """Name what MMEngine writes to torch's safe loader."""
    if digit_version(TORCH_VERSION) < digit_version('2.6.0'):
        yield
        return
    # The class fills its table of statistics when the first one is made.
    HistoryBuffer()
    core: Any = np._core if hasattr(np, '_core') else np.core
    multiarray = core.multiarray
    allowed: List[Any] = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        multiarray._reconstruct,
        multiarray.scalar,
        *{type(np.dtype(kind)) for kind in '?bhilqdf'},
        (_history_statistic, 'builtins.getattr'),
    ]
    # numpy 1 and 2 name the same functions by different modules.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [
            (multiarray._reconstruct, f'{module}._reconstruct'),
            (multiarray.scalar, f'{module}.scalar'),
        ]
    with torch.serialization.safe_globals(allowed):
        yield
