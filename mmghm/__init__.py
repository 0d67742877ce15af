"""Long-tailed image classification for OpenMMLab.

Importing the package registers everything it adds, so that
``custom_imports = dict(imports=['mmghm'])`` is all that a config needs.
"""

import sys

from .utils.stack import check_stack
from .version import __version__

# `python -m mmghm doctor` imports the package too, and is there for stacks
# that cannot be imported. While Python looks for a module to run, argv[0] is
# '-m'.
if sys.argv[:2] != ['-m', 'doctor']:
    check_stack()

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
