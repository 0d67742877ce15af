"""MMEngine's loading of checkpoints, by torch's safe loader.

Importing this module is enough: whatever MMEngine then loads (``load_from``,
``resume``, ``Pretrained`` weights) is checked for completeness and read with
``weights_only=True``. :func:`trust_checkpoint` excepts named files.
"""

import codecs
import hashlib
import io
import os
import os.path as osp
import pickle
import re
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as zoo
from mmengine.utils import mkdir_or_exist

from mmghm.engine.checkpoints import (
    CheckpointError,
    check_complete,
    is_bare_pickle,
)
from mmghm.utils.dependencies import LazyModule
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

safetensors = LazyModule('safetensors.torch')

# MMEngine's names for lists of weights, and for stores; with those of
# load_from_file and load_from_address all for which it calls torch.load.
_ZOOS = ['torchvision://', 'modelzoo://', 'open-mmlab://', 'openmmlab://']
_STORES = [r'(\S+\:)?s3://', r'(\S+\:)?petrel://', 'pavi://']
# Hosts whose names end in the first digits of the content's SHA-256. Elsewhere
# the digits may be a date.
HASHED_HOSTS = ('download.pytorch.org', 'download.openmmlab.com')
# Files and addresses that may hold anything, while trust_checkpoint is active.
_trusted: List[str] = []


def _named(function: Callable, module: str, name: str) -> Callable:
    """Stand for a global of another name, as torch before 2.6 expects it."""

    def stand_in(*args: Any) -> Any:
        return function(*args)

    stand_in.__module__ = module
    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


def _history_statistic(owner: Any, name: str) -> Any:
    """What ``getattr`` may do in a checkpoint: name HistoryBuffer's methods."""
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(
        f'the checkpoint asks for attribute {name!r} of {owner!r}'
    )


def _mmengine_globals() -> List[Any]:
    """What MMEngine's checkpoints hold: numpy arrays and the log history."""
    core: Any = np._core if hasattr(np, '_core') else np.core
    numpy_functions = (core.multiarray._reconstruct, core.multiarray.scalar)
    return [
        HistoryBuffer,
        _named(_history_statistic, 'builtins', 'getattr'),
        codecs.encode,
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in '?bhilqdf'},
        # numpy 1 and 2 name the same functions by different modules.
        *(
            _named(function, f'{module}.multiarray', function.__name__)
            for module in ('numpy.core', 'numpy._core')
            for function in numpy_functions
        ),
    ]


torch.serialization.add_safe_globals(_mmengine_globals())


@contextmanager
def trust_checkpoint(path: Union[str, os.PathLike, None]) -> Iterator[None]:
    """Let one checkpoint hold anything, code included, inside the context.

    A file or an address; None trusts no file at all.
    """
    before = list(_trusted)
    if path is not None:
        _trusted.append(str(path))
    try:
        yield
    finally:
        _trusted[:] = before


def read_checkpoint(
    path: Union[str, os.PathLike], trust: bool = False
) -> Dict[str, Any]:
    """Read a checkpoint, a file or an address, onto the CPU.

    Under ``trust`` even if it could run code.
    """
    with trust_checkpoint(path if trust else None):
        return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def read_safetensors(path: Union[str, os.PathLike]) -> Dict[str, torch.Tensor]:
    """Read the weights of a published model, tensors on the CPU by name."""
    load_file = safetensors.load_file
    try:
        return load_file(path)
    except Exception as error:
        # safetensors has an error class of its own for damaged files.
        raise UserError(f'cannot read {path}: {error}') from error


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_file(
    filename: str, map_location: Any = None, trust: bool = False
) -> Any:
    """Load a local file, without what a resumed run would evaluate."""
    filename = osp.expanduser(filename)
    if filename.endswith('.safetensors'):
        return dict(state_dict=read_safetensors(filename))
    check_complete(filename)
    trust = trust or osp.realpath(filename) in map(osp.realpath, _trusted)
    try:
        if not trust:
            _refuse_other_formats(filename)
        source: Any = filename
        if is_bare_pickle(filename):
            # Memory clamps lengths that the pickle claims; a file's read()
            # would reserve them.
            source = io.BytesIO(Path(filename).read_bytes())
        checkpoint = torch.load(
            source, map_location=map_location, weights_only=not trust
        )
    except OSError:
        raise
    # Damaged files raise whatever the reader stumbles over.
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and not trust:
            raise CheckpointError(_distrust(filename, error)) from error
        raise CheckpointError(f'cannot read {filename}: {error}') from error
    if isinstance(checkpoint, dict) and isinstance(
        checkpoint.get('meta'), dict
    ):
        # A config's text, which Runner.resume would run as Python. It is all
        # that a resumed run evaluates.
        checkpoint['meta'].pop('config', None)
    return checkpoint


def _refuse_other_formats(filename: str) -> None:
    """Refuse what torch before 2.6 takes in spite of ``weights_only``.

    It unpacks tar archives (of torch before 0.1.10) and runs TorchScript.
    """
    with open(filename, 'rb') as file:
        is_zip = file.read(4) == b'PK\x03\x04'
    if is_zip:
        names = torch._C.PyTorchFileReader(filename).get_all_records()
        if 'constants.pkl' in names:
            raise pickle.UnpicklingError('it is a TorchScript program')
    elif tarfile.is_tarfile(filename):
        raise pickle.UnpicklingError('it is a tar archive')


def _distrust(filename: str, error: Exception) -> str:
    # torch wraps the reason in advice to trust the file.
    reason = str(error.__context__ or error)
    found = re.search(r'GLOBAL ([\w.]+)', reason)
    why = f'it asks for {found[1]}' if found else reason.splitlines()[0]
    return (
        f'{filename} holds more than tensors and could run code while it is '
        f'read ({why}). If you trust whoever made it, add --trust-checkpoint'
    )


@CheckpointLoader.register_scheme(prefixes=['http://', 'https://'], force=True)
def load_from_address(
    filename: str, map_location: Any = None, trust: bool = False
) -> Any:
    """Download a checkpoint once, and load it."""
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
    return load_from_file(path, map_location, trust or filename in _trusted)


def _content_hash(address: str) -> Optional[str]:
    """What a name promises of the content's SHA-256."""
    parts = urlparse(address)
    found = re.search(r'-([0-9a-f]{8})\.(?:pth|pt)$', parts.path)
    return found[1] if found and parts.hostname in HASHED_HOSTS else None


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


@CheckpointLoader.register_scheme(prefixes=[*_ZOOS, 'mmcls://'], force=True)
def load_from_zoo(filename: str, map_location: Any = None) -> Any:
    """Load weights that one of MMEngine's lists names."""
    source, _, name = filename.partition('://')
    if source == 'mmcls':
        found = zoo.get_mmcls_models()
    elif source in ('torchvision', 'modelzoo'):
        found = zoo.get_torchvision_models()
    else:
        found = zoo.get_external_models()
        name = zoo.get_deprecated_model_names().get(name, name)
    if name not in found:
        raise UserError(
            f'{source} has no weights {name!r}{closest(name, found)}'
        )
    trust = filename in _trusted
    if '://' not in found[name]:
        # Of the user's own list, below MMEngine's folder.
        path = osp.join(zoo._get_mmengine_home(), found[name])
        return load_from_file(path, map_location, trust)
    checkpoint = load_from_address(found[name], map_location, trust)
    if source == 'mmcls':
        # Whole classifiers, of which MMEngine takes the backbone.
        checkpoint = zoo._process_mmcls_checkpoint(checkpoint)
    return checkpoint


@CheckpointLoader.register_scheme(prefixes=_STORES, force=True)
def load_from_store(filename: str, map_location: Any = None) -> Any:
    """Load from an object store that MMEngine knows."""
    backend = get_file_backend(filename, backend_args=dict(backend='petrel'))
    with backend.get_local_path(filename) as path:
        return load_from_file(str(path), map_location, filename in _trusted)
