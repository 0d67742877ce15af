"""Everything that registers itself, as far as it can be imported."""

from .losses import GHMCWAPLoss
from .utils.dependencies import can_import

__all__ = ['GHMCWAPLoss']

if can_import('mmengine'):
    from . import registry
    from .datasets import LongTailDataset
    from .engine import AURARebinHook, ClassCountsHook, safe_loading
    from .evaluation import GroupAccuracy

    __all__ += ['AURARebinHook', 'ClassCountsHook']
    __all__ += ['GroupAccuracy', 'LongTailDataset']

    if can_import('mmpretrain'):
        from .models import CIFARResNet

        __all__ += ['CIFARResNet']
