from .atomic_checkpoint_hook import AtomicCheckpointHook
from .aura_rebin_hook import AURARebinHook
from .class_counts_hook import ClassCountsHook
from .class_mean_init_hook import ClassMeanInitHook
from .deferred_reweighting_hook import DeferredReweightingHook
from .epoch_seed_hook import EpochSeedHook, seed_worker
from .group_table_hook import GroupTableHook
from .histogram_picture_hook import HistogramPictureHook
from .long_tail_visualization_hook import LongTailVisualizationHook
from .run_record_hook import RunRecordHook

__all__ = [
    'AURARebinHook',
    'AtomicCheckpointHook',
    'ClassCountsHook',
    'ClassMeanInitHook',
    'DeferredReweightingHook',
    'EpochSeedHook',
    'GroupTableHook',
    'HistogramPictureHook',
    'LongTailVisualizationHook',
    'RunRecordHook',
    'seed_worker',
]
