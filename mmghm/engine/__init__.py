from .hooks import *  # noqa: F403
from .optimizers import BFloat16OptimWrapper
from .schedulers import WarmupCosineLR, WarmupMultiStepLR
