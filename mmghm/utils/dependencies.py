"""Checks of the installed OpenMMLab stack."""

import importlib
import sys
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, List, Mapping, NamedTuple, Optional

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
    """How to get a package that only some of the features need.

    Args:
        lost (str): What is not there without it.
        distribution (str): What pip calls it.
        extra (str): The extra of mmghm that brings it.
    """

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
    """Import a module that only some of the features need.

    Args:
        name (str): Such as ``'scipy.optimize'``, of one of :data:`OPTIONAL`.

    Returns:
        Any: The module.

    Raises:
        UserError: If its package is missing, with what to run.
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
    """:func:`import_optional`, when an attribute is first asked for.

    Args:
        name (str): Name of the module.
    """

    def __getattr__(self, name: str) -> Any:
        # Whoever inspects modules asks for these.
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(import_optional(self.__name__), name)


class HostWarning(UserWarning):
    """A package of OpenMMLab is installed and cannot be imported."""


def owner_of(package: str) -> Optional[str]:
    """Find the distribution that brings a package.

    Args:
        package (str): Such as ``'mmengine'``.

    Returns:
        Optional[str]: Its name, such as ``'onedl-mmengine'``; None if none is
        installed.
    """
    for owner in OWNERS.get(package, (package,)):
        try:
            version(owner)
        except PackageNotFoundError:
            continue
        return owner
    return None


def version_of(package: str) -> str:
    """Version of a package, whichever distribution brings it.

    Args:
        package (str): Such as ``'mmengine'``.

    Returns:
        str: Its version, with the distribution's name if that is another;
        ``'unknown'`` if there is none.
    """
    owner = owner_of(package)
    if owner is None:
        return 'unknown'
    found = version(owner)
    return found if owner == package else f'{found} ({owner})'


def missing_modules(names: Mapping[str, object] = REMEDIES) -> List[str]:
    """Find out which modules are not installed, without importing them.

    Args:
        names (Mapping[str, object]): Modules, as keys.

    Returns:
        List[str]: Those that are missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    if 'pkg_resources' in missing and owner_of('mmengine') == 'onedl-mmengine':
        # The continuation does without it.
        missing.remove('pkg_resources')
    return missing


def import_error(host: str) -> Optional[Exception]:
    """Import a package of OpenMMLab, as far as mmghm uses it.

    Args:
        host (str): One of :data:`HOSTS`.

    Returns:
        Optional[Exception]: What the import raised; None if the package can
        be used.
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
    """Whether a package of OpenMMLab is there.

    The first call imports it, and warns if that fails although it is
    installed. No module of mmghm is imported here, so that an error of ours
    is never taken for one of the package.

    Args:
        host (str): One of :data:`HOSTS`.

    Returns:
        bool: True if it can be used.
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
    """Say in one line what was raised.

    Args:
        error (BaseException): The error.

    Returns:
        str: Its type and the last line of its message.
    """
    lines = str(error).strip().splitlines() or ['no message']
    return f'{type(error).__name__}: {lines[-1].strip()}'


def check_dependencies() -> None:
    """Refuse to start without a part of the stack, and name the fix.

    Raises:
        UserError: If a package is missing or cannot be imported.
    """
    missing = missing_modules()
    if missing:
        # Several may have one remedy.
        names = {
            remedy: [n for n in missing if REMEDIES[n] == remedy]
            for remedy in map(REMEDIES.get, missing)
        }
        remedies = '; '.join(
            f'{", ".join(names[remedy])}: {remedy}' for remedy in names
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

    Returns:
        Optional[str]: The folder; None if all is well.
    """
    package = importlib.import_module(__name__.partition('.')[0])
    if getattr(package, '__file__', None):
        return None
    return next(iter(package.__path__), 'a folder')


def starts_command() -> bool:
    """Whether this process is ``mmghm``, ``python -m mmghm`` or tools/train.py.

    Those import what takes seconds once their options are read. Python imports
    the package before it runs ``mmghm/__main__.py``, and nothing but the
    command line tells which program it is about to run.

    Returns:
        bool: True in the process that a person started, False in those that
        it starts.
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
