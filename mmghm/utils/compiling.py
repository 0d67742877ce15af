"""Whether ``torch.compile`` is tracing the code that asks."""

import torch

# Since torch 2.3; before, it is dynamo's.
if hasattr(torch.compiler, 'is_compiling'):
    from torch.compiler import is_compiling
else:
    from torch._dynamo import is_compiling

__all__ = ['is_compiling']
