"""Checks of the installed OpenMMLab stack."""

import importlib
import sys
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from .errors import UserError

# Distributions that own one folder, so that pip overwrites one by the other:
# OpenMMLab's, with and without compiled operators, and their continuation.
# Therefore none of them is a dependency in the package metadata.
OWNERS = {
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
}
_HOSTS = (
    "pip install mmengine mmpretrain 'mmcv-lite>=2.0,<2.2' (mmghm's extra "
    '`lite`; `onedl` has their continuation)'
)
# The module that brings all that mmghm uses of a package.
HOSTS = {'mmengine': 'mmengine.runner', 'mmpretrain': 'mmpretrain.models'}
# What to run for a package that is missing.
REMEDIES = {
    'torch': 'pip install torch torchvision (as a matching pair)',
    'torchvision': 'pip install torch torchvision (as a matching pair)',
    # mmdet and mmseg accept none from 2.2 on.
    'mmcv': "pip install 'mmcv-lite>=2.0,<2.2' (or a full mmcv>=2.0,<2.2)",
    'mmengine': _HOSTS,
    'mmpretrain': _HOSTS,
    'pkg_resources': "pip install 'setuptools<82'",
}


class Extra(NamedTuple):
    """How to get a package that only some of the features need."""

    # What is not there without it, what pip calls it, the extra of mmghm.
    lost: str
    distribution: str
    extra: str

    @property
    def remedy(self) -> str:
        """What to run."""
        return f"pip install {self.distribution} (mmghm's extra `{self.extra}`)"


OPTIONAL = {
    'cleanlab': Extra(
        'train images whose label may be wrong', 'cleanlab', 'label-errors'
    ),
    'onnx': Extra('ONNX files', 'onnx', 'deploy'),
    'onnxruntime': Extra('ONNX files', 'onnxruntime', 'deploy'),
    'onnxscript': Extra('ONNX files', 'onnxscript', 'deploy'),
    'plotly': Extra('the page of `mmghm report`', 'plotly', 'report'),
    'pyarrow': Extra('lists and tables of images', 'pyarrow', 'tables'),
    'safetensors': Extra('`mmghm publish`', 'safetensors', 'deploy'),
    'scipy': Extra('fitting a temperature or prior', 'scipy', 'choose'),
    'sklearn': Extra('the digits', 'scikit-learn', 'digits'),
    'submitit': Extra('`--cluster`', 'submitit', 'slurm'),
    'timm': Extra('networks named timm/...', 'timm', 'photographs'),
}


def import_optional(name: str) -> Any:
    """Import a module of one of :data:`OPTIONAL`, such as ``scipy.optimize``.

    UserError if its package is missing, with what to run.
    """
    package = name.partition('.')[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Or a part of it that its builder left out.
        if (error.name or '').partition('.')[0] != package:
            raise
        missing = OPTIONAL[package]
        raise UserError(
            f'{package} is missing, for {missing.lost}: {missing.remedy}'
        ) from error


class LazyModule(ModuleType):
    """:func:`import_optional`, when an attribute is first asked for."""

    def __getattr__(self, name: str) -> Any:
        # Whoever inspects modules asks for these.
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(import_optional(self.__name__), name)


class HostWarning(UserWarning):
    """A package of OpenMMLab is installed and cannot be imported."""


def installed_version(distribution: str) -> Optional[str]:
    """Version of a distribution, None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def owner_of(package: str) -> Optional[str]:
    """Find the installed distribution that brings a package, if there is one.

    Such as ``'onedl-mmengine'`` for ``'mmengine'``.
    """
    owners = OWNERS.get(package, (package,))
    return next(filter(installed_version, owners), None)


def version_of(package: str) -> str:
    """Version of a package, whichever distribution brings it.

    With the distribution's name if that is another; ``'unknown'`` if there is
    none.
    """
    owner = owner_of(package)
    if owner is None:
        return 'unknown'
    found = version(owner)
    return found if owner == package else f'{found} ({owner})'


def missing_modules(names: Mapping[str, object] = REMEDIES) -> List[str]:
    """Find out which modules, the keys, are missing, without importing them."""
    missing = [name for name in names if find_spec(name) is None]
    if 'pkg_resources' in missing and owner_of('mmengine') == 'onedl-mmengine':
        # The continuation does without it.
        missing.remove('pkg_resources')
    return missing


def import_error(host: str) -> Optional[Exception]:
    """Import one of :data:`HOSTS`, as far as mmghm uses it.

    Returns what the import raised, None if the package can be used.
    """
    with warnings.catch_warnings():
        # An operator of detectors that mmcv-lite does not have.
        warnings.filterwarnings('ignore', '.*MultiScaleDeformableAttention')
        try:
            importlib.import_module(host)
            importlib.import_module(HOSTS[host])
        except Exception as error:
            return error
    return None


@cache
def can_import(host: str) -> bool:
    """Whether one of :data:`HOSTS` can be used.

    The first call imports it, and warns if that fails although it is
    installed. No module of mmghm is imported here, so that an error of ours
    is never taken for one of the package.
    """
    error = import_error(host)
    missing = isinstance(error, ModuleNotFoundError) and error.name == host
    if error is not None and not missing:
        # Without the line of code that warnings.warn adds.
        warnings.warn_explicit(
            f'what needs {host} is left out, because it cannot be imported '
            f'({last_line(error)}). For the fix, run `mmghm doctor`.',
            HostWarning,
            filename='mmghm',
            lineno=1,
        )
    return error is None


def last_line(error: BaseException) -> str:
    """Type of an error and the last line of its message."""
    lines = str(error).strip().splitlines() or ['no message']
    return f'{type(error).__name__}: {lines[-1].strip()}'


def check_dependencies() -> None:
    """Refuse with a UserError to start without a part, and name the fix."""
    # Several may have one remedy.
    names: Dict[str, List[str]] = {}
    for name in missing_modules():
        names.setdefault(REMEDIES[name], []).append(name)
    if names:
        remedies = '; '.join(
            f'{", ".join(missing)}: {remedy}'
            for remedy, missing in names.items()
        )
        raise UserError(
            f'mmghm needs packages that are missing: {remedies}. '
            '`mmghm doctor` examines the whole installation.'
        )
    for host in HOSTS:
        error = import_error(host)
        if error is not None:
            raise UserError(
                f'mmghm needs {host}, which cannot be imported '
                f'({last_line(error)}). For the fix, run `mmghm '
                'doctor`.'
            ) from error


def hidden_by() -> Optional[str]:
    """Find a folder that is imported in place of the installed package.

    In the folder above a clone named mmghm, Python takes the clone's folder
    for a package without content, before it asks an editable installation.
    """
    package = importlib.import_module(__name__.partition('.')[0])
    if getattr(package, '__file__', None):
        return None
    return next(iter(package.__path__), 'a folder')


def starts_command() -> bool:
    """Whether this process is ``mmghm``, ``python -m mmghm`` or tools/train.py.

    Those import what takes seconds once their options are read. Python imports
    the package before it runs ``mmghm/__main__.py``, and nothing but the
    command line tells which program it is about to run. False in the processes
    that these start.
    """
    # Those have the program's name, too, and may import it before they know
    # that they have a parent.
    if any(word.startswith('from multiprocessing') for word in sys.orig_argv):
        return False
    program = sys.argv[0] if sys.argv else ''
    if program == '-m':
        words = sys.orig_argv
        return words[words.index('-m') + 1].partition('.')[0] == 'mmghm'
    path = Path(program).resolve()
    package = Path(__file__).parents[1]
    tools = (package.parent / 'tools', package / '.mim' / 'tools')
    return path.stem == 'mmghm' or (
        path.name in ('train.py', 'test.py')
        and path.parent in {folder.resolve() for folder in tools}
    )
