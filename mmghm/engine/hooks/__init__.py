from .aura_rebin_hook import AURARebinHook, Rebinnable
from .class_counts_hook import ClassCountsHook
from .group_table_hook import GroupTableHook
from .histogram_picture_hook import HistogramPictureHook

__all__ = [
    'AURARebinHook', 'ClassCountsHook', 'GroupTableHook',
    'HistogramPictureHook', 'Rebinnable'
]
