from .hooks import (AURARebinHook, ClassCountsHook, GroupTableHook,
                    HistogramPictureHook)
from .optimizers import BFloat16OptimWrapper

__all__ = [
    'AURARebinHook', 'BFloat16OptimWrapper', 'ClassCountsHook',
    'GroupTableHook', 'HistogramPictureHook'
]
