"""Long-tailed image classification for OpenMMLab.

Importing the package registers everything it adds, so that
``custom_imports = dict(imports=['mmghm'])`` is all that a config needs.
"""

from .utils.stack import check_stack

check_stack()

from .datasets import LongTailDataset  # noqa: E402
from .engine import AURARebinHook, ClassCountsHook  # noqa: E402
from .evaluation import GroupAccuracy  # noqa: E402
from .models import CIFARResNet, GHMCWAPLoss  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    'AURARebinHook', 'CIFARResNet', 'ClassCountsHook', 'GHMCWAPLoss',
    'GroupAccuracy', 'LongTailDataset', '__version__'
]
