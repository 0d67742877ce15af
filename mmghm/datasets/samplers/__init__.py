from mmghm.utils.dependencies import can_import

from .class_sampler import ClassBalancedSampler, sample_probabilities

__all__ = ['ClassBalancedSampler', 'sample_probabilities']

if can_import('mmpretrain'):
    from .shard_sampler import ShardSampler

    __all__ += ['ShardSampler']
