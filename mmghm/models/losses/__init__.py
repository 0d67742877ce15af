from .base import LongTailLoss
from .ghm_cwap_loss import GHMCWAPLoss

__all__ = ['GHMCWAPLoss', 'LongTailLoss']
