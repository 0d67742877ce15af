"""Triton kernels of the losses for GPUs.

A step reads the logits twice and writes their gradient once, whatever the
number of classes; nothing else of size B x C is allocated or moved. W stands
between the two passes: it depends on the histogram of the whole batch, so that
one kernel cannot do it all.

- :func:`cross_entropy`: margin, log-softmax, gradient norm, histogram;
- :func:`example_weights`: W of each example (eq. 1);
- :class:`FusedGradient`: the gradient.

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
from typing import Any, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cross_entropy import refuse_second_derivative
from .gradient_histogram import (
    RegionTerms,
    equal_edges,
    region_terms,
    region_weight,
)
from .margin import add_margin, log_prior, log_sizes

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


class RowStatistics(NamedTuple):
    """What the gradient needs of the forward pass, float32 (B,) each.

    Attributes:
        largest (Tensor): Largest adjusted logit.
        inverse (Tensor): ``1 / sum(exp(adjusted - largest))``.
    """

    largest: Tensor
    inverse: Tensor


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    rival: Optional[Tensor],
    own: Optional[Tensor],
    terms: Optional[RegionTerms] = None,
    counts: Optional[Tensor] = None,
) -> Tuple[Tensor, RowStatistics, Optional[Tensor]]:
    """Compute cross-entropy with margins, and find and count its g.

    Args:
        logits (Tensor): z, shape (B, C), see :func:`is_available`.
        target (Tensor): Class indices, int64 (B,).
        rival (Optional[Tensor]): Of :func:`margin_terms`, float32 (C,).
        own (Optional[Tensor]): Of :func:`margin_terms`, float32 (C,).
        terms (Optional[RegionTerms]): Of the edges to sort g by.
        counts (Optional[Tensor]): int64 (C, N); each example with a finite
            loss adds 1 to the cell of its category and g.

    Returns:
        Tuple[Tensor, RowStatistics, Optional[Tensor]]: Losses, float32 (B,),
        NaN for an example with a logit that is not finite; what
        :class:`FusedGradient` needs; with ``terms`` the cells in a flat table
        C x N, int64 (B,), -1 for a NaN.
    """
    number, width = logits.shape
    losses, largest, inverse = logits.new_empty(
        3, number, dtype=torch.float32
    ).unbind()
    cells, num_regions, interior = None, 1, losses
    if terms is not None:
        cells = target.new_empty(number)
        interior = terms.interior
        num_regions = interior.size(1) + 1
    block = min(_power_of_2(width), _MAX_BLOCK)
    _kernels().forward_kernel[(number,)](
        logits,
        logits.stride(0),
        target.contiguous(),
        losses if rival is None else rival,
        losses if own is None else own,
        interior,
        target if counts is None else counts,
        losses,
        largest,
        inverse,
        target if cells is None else cells,
        width,
        num_regions,
        HAS_RIVAL=rival is not None,
        ONE_SIDED=own is not None,
        FIND_CELL=cells is not None,
        COUNT=counts is not None,
        BLOCK=block,
        EDGES=_power_of_2(max(num_regions - 1, 1)),
        num_warps=_warps(block),
    )
    return losses, RowStatistics(largest, inverse), cells


def example_weights(
    cells: Tensor,
    counts: Tensor,
    terms: RegionTerms,
    alpha: float,
    normalize: str,
) -> Tensor:
    """W of each example from the counts, see :func:`region_weight`.

    Args:
        cells (Tensor): Cells of the examples in a flat table C x N, int64
            (B,), -1 for none.
        counts (Tensor): int64 (C, N).
        terms (RegionTerms): Of the edges that were counted on.
        alpha (float): Effectiveness factor in (0, 1].
        normalize (str): See :func:`category_scale`.

    Returns:
        Tensor: float32 (B,); 1 for an example without a cell.
    """
    weights = cells.new_empty(cells.shape, dtype=torch.float32)
    num_regions = counts.size(1)
    _kernels().weight_kernel[(len(cells),)](
        cells,
        counts,
        terms.lone_example,
        terms.moment,
        weights,
        num_regions,
        alpha,
        NORMALIZE={'none': 0, 'regions': 1}.get(normalize, 2),
        REGIONS=_power_of_2(num_regions),
        num_warps=1,
    )
    return weights


class FusedGradient(torch.autograd.Function):
    """Values whose gradient a kernel computes from the logits.

    ``FusedGradient.apply(logits, values, target, rival, own, statistics,
    factor)`` returns ``values``: a scalar or one an example. Saves the logits
    as they are. Differentiable once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        values: Tensor,
        target: Tensor,
        rival: Optional[Tensor],
        own: Optional[Tensor],
        statistics: RowStatistics,
        factor: Tensor,
    ) -> Tensor:
        """Keep what the kernel needs.

        Args:
            ctx (Any): Of torch.
            logits (Tensor): z, shape (B, C).
            values (Tensor): A scalar, or shape (B,).
            target (Tensor): Class indices, int64 (B,).
            rival (Optional[Tensor]): As for :func:`cross_entropy`.
            own (Optional[Tensor]): As for :func:`cross_entropy`.
            statistics (RowStatistics): Of :func:`cross_entropy`.
            factor (Tensor): Derivatives of the values' sum by each example's
                cross-entropy, float32 (B,).

        Returns:
            Tensor: The values.
        """
        ctx.save_for_backward(logits, target, rival, own, factor, *statistics)
        # Its own tensor: gradient accumulation scales losses in place.
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Compute the gradient.

        Args:
            ctx (Any): Of torch.
            grad (Tensor): Shape of the values.

        Returns:
            Tuple[Optional[Tensor], ...]: Gradient of the logits in their
            dtype, and None for the other arguments.
        """
        refuse_second_derivative()
        logits, target, rival, own, factor, largest, inverse = ctx.saved_tensors
        number, width = logits.shape
        gradient = torch.empty_like(
            logits, memory_format=torch.contiguous_format
        )
        block = min(_power_of_2(width), _MAX_BLOCK)
        _kernels().backward_kernel[(number,)](
            logits,
            logits.stride(0),
            target.contiguous(),
            largest if rival is None else rival,
            largest if own is None else own,
            largest,
            inverse,
            factor,
            grad,
            grad.stride(0) if grad.dim() else 0,
            gradient,
            width,
            HAS_RIVAL=rival is not None,
            ONE_SIDED=own is not None,
            BLOCK=block,
            num_warps=_warps(block),
        )
        return gradient, None, None, None, None, None, None


@cache
def _works(device: torch.device) -> bool:
    """Compare all kernels with PyTorch on a small batch, once a device."""
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
    counts = torch.zeros(5, 3, dtype=torch.int64, device=device)
    edges = equal_edges(3).to(device).repeat(5, 1)
    terms = region_terms(edges, 'gradient')
    for rival, own in (log_sizes(sizes, 1.0), (log_prior(sizes, 1.0), None)):
        losses, statistics, cells = cross_entropy(
            logits, target, rival, own, terms, counts
        )
        with torch.enable_grad():
            leaf = logits.clone().requires_grad_()
            expected = F.cross_entropy(
                add_margin(leaf, target, rival, own), target, reduction='none'
            )
            values = FusedGradient.apply(
                leaf, losses, target, rival, own, statistics, sizes[:4]
            )
            ours, theirs = (
                torch.autograd.grad(v.sum(), leaf)[0]
                for v in (values, expected * sizes[:4])
            )
        torch.testing.assert_close(losses, expected.detach())
        torch.testing.assert_close(ours, theirs)
    assert cells is not None, 'there are terms'
    weights = example_weights(cells, counts, terms, 0.9, 'gradient')
    density = counts * terms.lone_example
    table = region_weight(density, edges, 0.9, 'gradient')
    torch.testing.assert_close(weights, table.view(-1)[cells])
    assert int(counts.sum()) == 2 * len(target), 'each example counts once'


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
