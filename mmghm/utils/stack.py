"""Checks of the installed OpenMMLab stack."""

from importlib.util import find_spec
from typing import Dict, List, Mapping, Tuple

# What to run for a package that is missing. mmcv is no dependency in the
# package metadata: mmcv and mmcv-lite own the same folder, so that pip would
# overwrite a compiled mmcv.
REMEDIES = {
    'torch': 'pip install torch torchvision (as a matching pair)',
    'torchvision': 'pip install torch torchvision (as a matching pair)',
    'mmcv': "pip install 'mmcv-lite>=2.0,<2.4' (or a full mmcv>=2.0,<2.4)",
    'mmengine': "pip install 'mmengine>=0.8.3'",
    'mmpretrain': "pip install 'mmpretrain>=1.0'",
    'pkg_resources': "pip install 'setuptools<82'",
}
# Module: what is not there without it, and how to get it.
OPTIONAL: Dict[str, Tuple[str, str]] = {
    'submitit': ('no `reproduce.py --cluster`', "pip install 'mmghm[slurm]'"),
}


def missing_modules(names: Mapping[str, object] = REMEDIES) -> List[str]:
    """Find out which modules are not installed, without importing them.

    Args:
        names (Mapping[str, object]): Modules, as keys.

    Returns:
        List[str]: Those that are missing.
    """
    return [name for name in names if find_spec(name) is None]


def check_stack() -> None:
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
