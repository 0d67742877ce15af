"""Softmax cross-entropy of adjusted logits, one loss an example.

The only derivative that is written by hand: it keeps the softmax, one buffer
of B x C, and makes the gradient in it. What follows it (weights, reductions)
is ordinary autograd on vectors of B.
"""

import math
from typing import Any, Callable, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.compiling import is_compiling

from ..functional.margin import add_margin
from . import triton_cross_entropy
from .backward import graph_is_kept, refuse_second_derivative

# Logits that a CPU core takes through all steps before the next ones: they
# stay in its caches, and yet an operation is worth its call.
_CHUNK_BYTES = 2**22
# Floats of a vector register. torch's softmax of narrower rows takes one number
# at a time, four times as long as _narrow_softmax.
_LANES = 16 if torch.backends.cpu.get_cpu_capability() == 'AVX512' else 8
# Below it -log(p) would feel the range of float32.
_SAFE_PROBABILITY = 1e-30

# Makes logits (rows, C) and targets (rows,) the logits to take the softmax of.
Transform = Callable[[Tensor, Tensor], Tensor]


def adjusted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    logit_bias: Optional[Tensor] = None,
    target_bias: Optional[Tensor] = None,
) -> Tensor:
    """Cross-entropy of ``z + M_y``, with the margins of :func:`margin_terms`.

    On GPUs by a Triton kernel, if it works there; under ``torch.compile`` by
    torch's own operations. Differentiable once by the logits.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, int64 (B,), in [0, C - 1].
        logit_bias (Optional[Tensor]): Added to every example's logits, float32
            (C,); None for no margin.
        target_bias (Optional[Tensor]): Ceiling of the bias by the example's
            class, float32 (C,); None for none.

    Returns:
        Tensor: float32 (B,), at least 0 up to rounding; NaN for an example
        with a logit that is not finite.
    """
    if not is_compiling() and triton_cross_entropy.is_available(logits):
        return triton_cross_entropy.TritonCrossEntropy.apply(
            logits, target, logit_bias, target_bias
        )

    def add(logits: Tensor, target: Tensor) -> Tensor:
        return add_margin(logits, target, logit_bias, target_bias)

    return transformed_cross_entropy(logits, target, add)


def transformed_cross_entropy(
    logits: Tensor, target: Tensor, transform: Transform, slope: float = 1.0
) -> Tensor:
    """Cross-entropy of ``slope * z + f(z, y)``, f without a gradient.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, int64 (B,), in [0, C - 1].
        transform (Transform): Gives the whole sum, a new float32 tensor, for
            some rows at a time; called once for each row.
        slope (float): Derivative of the sum by z.

    Returns:
        Tensor: As :func:`adjusted_cross_entropy`.
    """
    if is_compiling():
        return _plain_cross_entropy(logits, target, transform)
    return _ChunkedCrossEntropy.apply(logits, target, transform, slope)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """:func:`transformed_cross_entropy`, a part of the batch at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        transform: Transform,
        slope: float,
    ) -> Tensor:
        own = target.unsqueeze(1)
        losses, softmax = _cross_entropy_and_softmax(
            logits, target, own, transform
        )
        ctx.save_for_backward(softmax, own)
        ctx.slope, ctx.dtype = slope, logits.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None, None]:
        refuse_second_derivative()
        softmax, own = ctx.saved_tensors
        # Nobody reads the softmax again unless the graph is kept.
        gradient = softmax.clone() if graph_is_kept() else softmax
        gradient.scatter_(1, own, -1.0, reduce='add')
        if ctx.slope != 1:
            grad = grad * ctx.slope
        gradient.mul_(grad.unsqueeze(1))
        return gradient.to(ctx.dtype), None, None, None


def _cross_entropy_and_softmax(
    logits: Tensor, target: Tensor, own: Tensor, transform: Transform
) -> Tuple[Tensor, Tensor]:
    """Compute cross-entropies (B,) and softmax (B, C), float32."""
    if logits.dtype == torch.float64:
        # Promotion would carry it through; half precision it brings up.
        logits = logits.float()
    number, width = logits.shape
    rows = number
    if logits.device.type == 'cpu':
        rows = 1 + _CHUNK_BYTES * torch.get_num_threads() // (4 * width)
    if rows >= number:
        adjusted = transform(logits, target)
        narrow = width < _LANES and adjusted.device.type == 'cpu'
        softmax = _narrow_softmax(adjusted) if narrow else adjusted.softmax(1)
        return _negative_log(softmax, adjusted, own), softmax
    softmax = logits.new_empty(logits.shape, dtype=torch.float32)
    losses = logits.new_empty(number, dtype=torch.float32)
    for start in range(0, number, rows):
        part = slice(start, start + rows)
        adjusted = transform(logits[part], target[part])
        torch.softmax(adjusted, 1, out=softmax[part])
        losses[part] = _negative_log(softmax[part], adjusted, own[part])
    return losses, softmax


def _narrow_softmax(adjusted: Tensor) -> Tensor:
    """Softmax by operations on the whole table, for few classes on a CPU."""
    shares = (adjusted - adjusted.amax(1, keepdim=True)).exp_()
    return shares.div_(shares.sum(1, keepdim=True))


def _negative_log(softmax: Tensor, adjusted: Tensor, own: Tensor) -> Tensor:
    """Cross-entropy of rows of which the softmax is known, shape (B,)."""
    mine = softmax.gather(1, own).squeeze(1)
    if (
        mine.device.type == 'cpu'
        and len(mine)
        and mine.min().item() > _SAFE_PROBABILITY
        and math.isfinite(adjusted.sum().item())
    ):
        return mine.log().neg_()
    highest = adjusted.amax(1)
    distance = highest - adjusted.gather(1, own).squeeze(1)
    return distance - softmax.amax(1).log() + spoil(adjusted)


def spoil(logits: Tensor) -> Tensor:
    """NaN for a row with a value that is not finite, else 0.

    An infinite rival would leave no trace in a loss otherwise.

    Args:
        logits (Tensor): Shape (B, C).

    Returns:
        Tensor: Shape (B,), without a gradient.
    """
    logits = logits.detach()
    return logits.amin(1) * 0 + logits.amax(1) * 0


def _plain_cross_entropy(
    logits: Tensor, target: Tensor, transform: Transform
) -> Tensor:
    """The same by torch's operations, for a compiler to fuse."""
    adjusted = transform(logits, target)
    losses = F.cross_entropy(adjusted, target, reduction='none')
    return losses + spoil(adjusted)
