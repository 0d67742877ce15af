"""What ``torch.compile`` needs to be asked or told."""

import sys

import torch

# Since torch 2.3; before, it is dynamo's.
if hasattr(torch.compiler, 'is_compiling'):
    from torch.compiler import is_compiling
else:
    from torch._dynamo import is_compiling

__all__ = ['forget_unguarded_graphs', 'is_compiling']


def forget_unguarded_graphs() -> None:
    """Have compiled modules compiled again after an attribute has changed.

    Old releases of torch do not look whether a module's attributes are what
    they were when it was compiled. Newer ones do; there, nothing happens.
    """
    dynamo = sys.modules.get('torch._dynamo')
    if dynamo is not None and not dynamo.config.guard_nn_modules:
        dynamo.reset()
