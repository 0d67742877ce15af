"""Checks of the installed OpenMMLab stack."""

import importlib
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Dict, List, Mapping, Optional, Tuple

# Distributions that own one folder, so that pip overwrites one by the other:
# OpenMMLab's, with and without compiled operators, and their continuation.
# Therefore none of them is a dependency in the package metadata.
OWNERS = {
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
}
_HOSTS = (
    "pip install 'mmghm[lite]' (OpenMMLab's releases) or 'mmghm[onedl]' (their "
    'continuation)'
)
# What to run for a package that is missing.
REMEDIES = {
    'torch': 'pip install torch torchvision (as a matching pair)',
    'torchvision': 'pip install torch torchvision (as a matching pair)',
    'mmcv': "pip install 'mmcv-lite>=2.0,<2.4' (or a full mmcv>=2.0,<2.4)",
    'mmengine': _HOSTS,
    'mmpretrain': _HOSTS,
    'pkg_resources': "pip install 'setuptools<82'",
}
# Module: what is not there without it, and how to get it.
OPTIONAL: Dict[str, Tuple[str, str]] = {
    'submitit': ('no `reproduce.py --cluster`', "pip install 'mmghm[slurm]'"),
}


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


def check_dependencies() -> None:
    """Refuse to start without a part of the stack, and say how to mend it.

    Raises:
        ImportError: If a package is missing.
    """
    missing = missing_modules()
    if missing:
        lines = '\n'.join(f'  {name}: {REMEDIES[name]}' for name in missing)
        raise ImportError(
            f'mmghm needs packages that are missing:\n{lines}\n'
            '`python -m mmghm doctor` examines the whole installation.'
        )
    with warnings.catch_warnings():
        # An operator of detectors that mmcv-lite does not have.
        warnings.filterwarnings('ignore', '.*MultiScaleDeformableAttention')
        importlib.import_module('mmpretrain.models')


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


def runs_as_module() -> bool:
    """Whether Python is looking for ``python -m mmghm``.

    It imports the package first, with ``'-m'`` in place of the program's name.

    Returns:
        bool: True while it does.
    """
    if sys.argv[:1] != ['-m']:
        return False
    if not hasattr(sys, 'orig_argv'):
        # Python 3.9 does not tell which module.
        return sys.argv[1:2] == ['doctor']
    words = sys.orig_argv
    module = words[words.index('-m') + 1] if '-m' in words else ''
    return module.partition('.')[0] == 'mmghm'
