"""Cross-entropy of adjusted logits by a Triton kernel, for GPUs.

A step reads the logits twice and writes their gradient once, whatever the
number of classes; nothing else of size B x C is allocated or moved.

Everything is computed in float32. Before a device's first batch the kernels
are compared with PyTorch on a small one; where that fails (no Triton, no C
compiler for it, a device it does not know) the losses take their plain path,
with a warning that says why. ``TRITON_INTERPRET=1`` runs the kernels on a CPU.
"""

import os
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.margin import add_margin, log_prior, log_sizes
from .backward import refuse_second_derivative

# Logits that a program holds at a time.
_MAX_BLOCK = 8192


def is_available(logits: Tensor) -> bool:
    """Tell whether the kernels can take some logits.

    Args:
        logits (Tensor): Shape (B, C).

    Returns:
        bool: Whether they lie on a CUDA device (or Triton interprets), with
        contiguous rows, in a dtype that float32 holds, and Triton works there.
    """
    return (
        (logits.is_cuda or os.environ.get('TRITON_INTERPRET') == '1')
        and logits.dtype != torch.float64
        and logits.size(0) > 0
        and logits.stride(1) == 1
        and _works(logits.device)
    )


class TritonCrossEntropy(torch.autograd.Function):
    """:func:`adjusted_cross_entropy` of logits that the kernels can take.

    Saves the logits as they are, and two numbers an example.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        logit_bias: Optional[Tensor],
        target_bias: Optional[Tensor],
    ) -> Tensor:
        """Compute the losses.

        Args:
            ctx (Any): Of torch.
            logits (Tensor): z, shape (B, C), see :func:`is_available`.
            target (Tensor): Class indices, int64 (B,).
            logit_bias (Optional[Tensor]): Of :func:`margin_terms`, (C,).
            target_bias (Optional[Tensor]): Of :func:`margin_terms`, (C,).

        Returns:
            Tensor: float32 (B,), NaN for an example with a logit that is not
            finite.
        """
        number, width = logits.shape
        losses, largest, inverse = logits.new_empty(
            3, number, dtype=torch.float32
        ).unbind()
        target = target.contiguous()
        block = min(_power_of_2(width), _MAX_BLOCK)
        _kernels().forward_kernel[(number,)](
            logits,
            logits.stride(0),
            target,
            losses if logit_bias is None else logit_bias,
            losses if target_bias is None else target_bias,
            losses,
            largest,
            inverse,
            width,
            HAS_BIAS=logit_bias is not None,
            ONE_SIDED=target_bias is not None,
            BLOCK=block,
            num_warps=_warps(block),
        )
        ctx.save_for_backward(
            logits, target, logit_bias, target_bias, largest, inverse
        )
        # Its own tensor: `losses` shares its memory with what is kept.
        return losses.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None, None]:
        """Compute the gradient of the logits.

        Args:
            ctx (Any): Of torch.
            grad (Tensor): Shape (B,).

        Returns:
            Tuple[Tensor, None, None, None]: In the logits' dtype.
        """
        refuse_second_derivative()
        logits, target, logit_bias, target_bias, largest, inverse = (
            ctx.saved_tensors
        )
        number, width = logits.shape
        gradient = torch.empty_like(
            logits, memory_format=torch.contiguous_format
        )
        block = min(_power_of_2(width), _MAX_BLOCK)
        _kernels().backward_kernel[(number,)](
            logits,
            logits.stride(0),
            target,
            largest if logit_bias is None else logit_bias,
            largest if target_bias is None else target_bias,
            largest,
            inverse,
            grad,
            grad.stride(0),
            gradient,
            width,
            HAS_BIAS=logit_bias is not None,
            ONE_SIDED=target_bias is not None,
            BLOCK=block,
            num_warps=_warps(block),
        )
        return gradient, None, None, None


@cache
def _works(device: torch.device) -> bool:
    """Compare the kernels with PyTorch on a small batch, once a device."""
    if find_spec('triton') is None:
        return False
    try:
        with torch.inference_mode(False):
            _compare(device)
    except Exception as error:
        warnings.warn(
            f"the losses' Triton kernels are not used on {device}, where they "
            'cost more memory and time: '
            f'{type(error).__name__}: {error}'
        )
        return False
    return True


def _compare(device: torch.device) -> None:
    logits = torch.linspace(-2, 3, 20, device=device).view(4, 5).sin() * 4
    target = torch.tensor([0, 4, 2, 2], device=device)
    sizes = torch.tensor([9.0, 7.0, 5.0, 3.0, 1.0], device=device)
    for bias in (log_sizes(sizes, 1.0), (log_prior(sizes, 1.0), None)):
        with torch.enable_grad():
            leaf = logits.clone().requires_grad_()
            adjusted = add_margin(leaf, target, *bias)
            expected = F.cross_entropy(adjusted, target, reduction='none')
            losses = TritonCrossEntropy.apply(leaf, target, *bias)
            ours, theirs = (
                torch.autograd.grad((value * sizes[:4]).sum(), leaf)[0]
                for value in (losses, expected)
            )
        torch.testing.assert_close(losses, expected)
        torch.testing.assert_close(ours, theirs)


@cache
def _kernels() -> ModuleType:
    # Only now: Triton takes longer to import than most need it.
    return import_module('.triton_kernels', __package__)


def _power_of_2(number: int) -> int:
    """Smallest power of 2 that is at least a positive number."""
    return 1 << (number - 1).bit_length()


def _warps(block: int) -> int:
    """Warps of a program: 16 logits a thread at most."""
    return max(1, min(16, block // 512))
