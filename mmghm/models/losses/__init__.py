from .base import ClassCountLoss, LongTailLoss
from .equalization_loss import SoftmaxEqualizationLoss
from .ghm_cwap import GHMCWAPLoss, GradientHistogram, histogram_losses
from .ghmc_loss import GHMCrossEntropyLoss
from .ldam_loss import LDAMLoss
from .logit_adjusted_loss import LogitAdjustedLoss
from .seesaw_loss import SeesawCrossEntropyLoss
from .weighted_loss import (
    ClassWeightedLoss,
    ReweightedCrossEntropyLoss,
    SoftmaxFocalLoss,
)

__all__ = [
    'ClassCountLoss',
    'ClassWeightedLoss',
    'GHMCWAPLoss',
    'GHMCrossEntropyLoss',
    'GradientHistogram',
    'LDAMLoss',
    'LogitAdjustedLoss',
    'LongTailLoss',
    'ReweightedCrossEntropyLoss',
    'SeesawCrossEntropyLoss',
    'SoftmaxEqualizationLoss',
    'SoftmaxFocalLoss',
    'histogram_losses',
]
