from .hooks import (
    AURARebinHook,
    ClassCountsHook,
    EpochSeedHook,
    GroupTableHook,
    HistogramPictureHook,
)
from .optimizers import BFloat16OptimWrapper

__all__ = [
    'AURARebinHook',
    'BFloat16OptimWrapper',
    'ClassCountsHook',
    'EpochSeedHook',
    'GroupTableHook',
    'HistogramPictureHook',
]
