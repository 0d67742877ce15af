from .histogram import GradientHistogram
from .loss import GHMCWAPLoss, histogram_losses

__all__ = ['GHMCWAPLoss', 'GradientHistogram', 'histogram_losses']
