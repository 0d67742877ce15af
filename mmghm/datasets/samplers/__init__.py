from .class_sampler import ClassBalancedSampler, sample_probabilities

__all__ = ['ClassBalancedSampler', 'sample_probabilities']
