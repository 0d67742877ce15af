"""Losses for long-tailed classification, in plain PyTorch."""

from .base import ClassCountLoss, LongTailLoss
from .equalization import SoftmaxEqualizationLoss
from .ghm_c import GHMCrossEntropyLoss
from .ghm_cwap import GHMCWAPLoss, histogram_losses
from .ldam import LDAMLoss
from .logit_adjusted import LogitAdjustedLoss
from .reweighted import (
    ClassWeightedLoss,
    ReweightedCrossEntropyLoss,
    SoftmaxFocalLoss,
)
from .seesaw import SeesawCrossEntropyLoss

__all__ = [
    'ClassCountLoss',
    'ClassWeightedLoss',
    'GHMCWAPLoss',
    'GHMCrossEntropyLoss',
    'LDAMLoss',
    'LogitAdjustedLoss',
    'LongTailLoss',
    'ReweightedCrossEntropyLoss',
    'SeesawCrossEntropyLoss',
    'SoftmaxEqualizationLoss',
    'SoftmaxFocalLoss',
    'histogram_losses',
]
