from .class_sampler import ClassBalancedSampler, sample_probabilities
from .shard_sampler import ShardSampler

__all__ = ['ClassBalancedSampler', 'ShardSampler', 'sample_probabilities']
