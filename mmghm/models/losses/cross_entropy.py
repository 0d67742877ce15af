"""Softmax cross-entropy of adjusted logits, in few passes over B x C."""

import math
from typing import Any, Callable, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Logits that a CPU core takes through all steps before the next ones: they
# stay in its caches, and yet an operation is worth its call.
_CHUNK_BYTES = 2**22
# Below it -log(p) would feel the range of float32.
_SAFE_PROBABILITY = 1e-30

Adjust = Callable[[Tensor, Tensor], Tensor]


class KnownGradient(torch.autograd.Function):
    """Values whose gradient by the logits was computed along with them.

    ``KnownGradient.apply(logits, values, gradient)`` returns ``values``.
    ``gradient``, float32 (B, C), is that of their sum and must belong to
    nobody else: it becomes the gradient of the logits in place, unless the
    graph is kept. Differentiable once.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, values: Tensor, gradient: Tensor
    ) -> Tensor:
        """Keep the gradient.

        Args:
            ctx (Any): Of torch.
            logits (Tensor): Shape (B, C).
            values (Tensor): A scalar, or one value an example, shape (B,).
            gradient (Tensor): Of the values' sum, float32 (B, C).

        Returns:
            Tensor: The values.
        """
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        # Its own tensor: gradient accumulation scales losses in place.
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:
        """Multiply the gradient by that of the values.

        Args:
            ctx (Any): Of torch.
            grad (Tensor): Shape of the values.

        Returns:
            Tuple[Tensor, None, None]: Gradient of the logits, in their dtype.
        """
        refuse_second_derivative()
        (gradient,) = ctx.saved_tensors
        if grad.dim():
            grad = grad.unsqueeze(1)
        elif grad.device.type == 'cpu' and grad.item() == 1:
            return gradient.to(ctx.dtype), None, None
        # Nobody reads it again unless the graph is kept.
        if _graph_is_kept():
            gradient = gradient * grad
        else:
            gradient = gradient.mul_(grad)
        return gradient.to(ctx.dtype), None, None


def refuse_second_derivative() -> None:
    """Raise an error in a backward pass that builds a graph of its own.

    ``once_differentiable`` would let a gradient penalty pass as a constant.

    Raises:
        RuntimeError: Under ``create_graph=True``.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "mmghm's losses are differentiable once: their gradient cannot be "
            'differentiated again; call backward() without create_graph=True'
        )


def _graph_is_kept() -> bool:
    """Whether the backward pass under way may be repeated."""
    autograd = torch._C._autograd
    # Before torch 2.6 nobody knows.
    ask = getattr(autograd, '_get_current_graph_task_keep_graph', None)
    return ask is None or ask()


@torch.no_grad()
def cross_entropy_and_softmax(
    logits: Tensor, target: Tensor, adjust: Optional[Adjust] = None
) -> Tuple[Tensor, Tensor]:
    """Compute cross-entropy and softmax of adjusted logits together.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, int64 (B,), in [0, C - 1].
        adjust (Optional[Adjust]): Makes logits and targets of some rows the
            logits to take the softmax of, a new float32 tensor; called once
            for each row.

    Returns:
        Tuple[Tensor, Tensor]: Cross-entropy, float32 (B,), at least 0, NaN
        for an example with a logit that is not finite; and the softmax,
        float32 (B, C).
    """
    if logits.dtype == torch.float64:
        # Promotion would carry it through; half precision it brings up.
        logits = logits.float()
    number, width = logits.shape
    rows = number
    if logits.device.type == 'cpu':
        rows = 1 + _CHUNK_BYTES * torch.get_num_threads() // (4 * width)
    own = target.unsqueeze(1)
    if rows >= number:
        adjusted = (
            adjust(logits, target) if adjust is not None else logits.float()
        )
        softmax = adjusted.softmax(1)
        return _negative_log(softmax, adjusted, own), softmax
    softmax = logits.new_empty(logits.shape, dtype=torch.float32)
    losses = logits.new_empty(number, dtype=torch.float32)
    for start in range(0, number, rows):
        part = slice(start, start + rows)
        adjusted = (
            adjust(logits[part], target[part])
            if adjust
            else logits[part].float()
        )
        torch.softmax(adjusted, 1, out=softmax[part])
        losses[part] = _negative_log(softmax[part], adjusted, own[part])
    return losses, softmax


def _negative_log(softmax: Tensor, adjusted: Tensor, own: Tensor) -> Tensor:
    """Cross-entropy of rows of which the softmax is known, shape (B,)."""
    mine = softmax.gather(1, own).squeeze(1)
    if (
        mine.device.type == 'cpu'
        and len(mine)
        and mine.min().item() > _SAFE_PROBABILITY
        and math.isfinite(adjusted.sum().item())
    ):
        return mine.log_().neg_()
    highest, lowest = adjusted.amax(1), adjusted.amin(1)
    distance = highest - adjusted.gather(1, own).squeeze(1)
    # An infinite rival would leave no trace otherwise.
    spoiled = lowest * 0 + highest * 0
    return distance - softmax.amax(1).log() + spoiled


def plain_cross_entropy(
    logits: Tensor, target: Tensor, adjust: Optional[Adjust] = None
) -> Tensor:
    """Compute the same losses by torch's differentiable operations.

    For ``torch.compile``, which fuses them itself.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, int64 (B,).
        adjust (Optional[Adjust]): See :func:`cross_entropy_and_softmax`.

    Returns:
        Tensor: float32 (B,), NaN for an example with a logit that is not
        finite.
    """
    adjusted = adjust(logits, target) if adjust is not None else logits.float()
    losses = F.cross_entropy(adjusted, target, reduction='none')
    with torch.no_grad():
        lowest, highest = adjusted.amin(1), adjusted.amax(1)
        spoiled = lowest * 0 + highest * 0
    return losses + spoiled


def complete_gradient(
    softmax: Tensor, target: Tensor, factor: Tensor
) -> Tensor:
    """Turn a softmax into the gradient of weighted cross-entropies, in place.

    Args:
        softmax (Tensor): Shape (B, C); overwritten.
        target (Tensor): Class indices, int64 (B,).
        factor (Tensor): Factor of each example, shape (B,).

    Returns:
        Tensor: ``(softmax - one_hot(target)) * factor``, shape (B, C).
    """
    own = target.unsqueeze(1)
    softmax.scatter_add_(1, own, softmax.new_full(own.shape, -1.0))
    return softmax.mul_(factor.unsqueeze(1))
