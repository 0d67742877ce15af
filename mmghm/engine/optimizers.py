"""Mixed precision where there is no GPU."""

from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Autocast to bfloat16 on any device.

    MMEngine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has the exponents of
    float32, so that no loss scaling is needed. ``tools/train.py --amp`` takes
    this wrapper on a machine without an accelerator.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in bfloat16."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
