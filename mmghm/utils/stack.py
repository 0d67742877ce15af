"""Checks of the installed OpenMMLab stack."""

from importlib.util import find_spec

# What to run for a package that is missing. mmcv is no dependency in the
# package metadata: mmcv and mmcv-lite own the same folder, so that pip would
# overwrite a compiled mmcv.
REMEDIES = {
    'mmcv': "pip install 'mmcv-lite>=2.0,<2.4' (or a full mmcv>=2.0,<2.4)",
    'mmengine': "pip install 'mmengine>=0.10'",
    'mmpretrain': "pip install 'mmpretrain>=1.2'",
    'pkg_resources': "pip install 'setuptools<82'",
    'torchvision': 'pip install torch torchvision (as a matching pair)',
}


def check_stack() -> None:
    """Refuse to start without a part of the stack, and say how to mend it.

    Raises:
        ImportError: If a package is missing.
    """
    missing = [name for name in REMEDIES if find_spec(name) is None]
    if missing:
        lines = '\n'.join(f'  {name}: {REMEDIES[name]}' for name in missing)
        raise ImportError(f'mmghm needs packages that are missing:\n{lines}')
