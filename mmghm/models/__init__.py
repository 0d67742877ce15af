from .backbones import CIFARResNet
from .losses import GHMCWAPLoss, LongTailLoss
from .utils import CheckpointedState

__all__ = ['CIFARResNet', 'CheckpointedState', 'GHMCWAPLoss', 'LongTailLoss']
