"""Long-tailed image classification for OpenMMLab.

Importing the package registers everything it adds, so that
``custom_imports = dict(imports=['mmghm'])`` is all that a config needs.
"""

from .utils.dependencies import check_dependencies, runs_as_module
from .version import __version__

# `python -m mmghm` answers at once, and examines stacks that cannot be
# imported; it imports the rest when a tool needs it.
if not runs_as_module():
    check_dependencies()

    from . import registry
    from .datasets import LongTailDataset
    from .engine import AURARebinHook, ClassCountsHook
    from .evaluation import GroupAccuracy
    from .models import CIFARResNet, GHMCWAPLoss

__all__ = [
    'AURARebinHook',
    'CIFARResNet',
    'ClassCountsHook',
    'GHMCWAPLoss',
    'GroupAccuracy',
    'LongTailDataset',
    '__version__',
]
