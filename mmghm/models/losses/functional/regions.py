"""Unit regions of the gradient norm: algorithm 1.

Pure functions on tensors whose last dimension runs over the N unit regions of
one category; any leading dimensions (none, C categories, B examples) are kept.
Symbols: ``v`` value of a region (a density), ``d`` its width, ``k`` its number
of examples.
"""

import math
from typing import Tuple

import torch
from torch import Tensor


def equal_edges(num_regions: int) -> Tensor:
    """Edges of equal-width regions, the start of algorithm 1.

    Args:
        num_regions (int): N, the number of unit regions, at least 1.

    Returns:
        Tensor: float32 (N + 1,), from 0 to exactly 1.
    """
    return torch.arange(num_regions + 1, dtype=torch.float32) / num_regions


def find_region(gradient_norm: Tensor, edges: Tensor) -> Tensor:
    """Find the unit region that holds each gradient norm.

    A region holds its lower edge and not its upper one; the last region holds
    1. A NaN is sorted into the last region: whoever counts must leave it out.

    Args:
        gradient_norm (Tensor): g in [0, 1], shape (..., K).
        edges (Tensor): Rising edges from 0 to 1, shape (..., N + 1).

    Returns:
        Tensor: int64 region indices in [0, N - 1], shape (..., K).
    """
    # Without the outer edges the insertion point is the region itself.
    interior = edges[..., 1:-1].contiguous()
    return torch.searchsorted(interior, gradient_norm.contiguous(), right=True)


def density(examples: Tensor, edges: Tensor) -> Tensor:
    """Value of each region, ``v = k / (N * d)`` (algorithm 1).

    Args:
        examples (Tensor): k, examples per region, shape (..., N).
        edges (Tensor): Edges they were counted on, shape (..., N + 1).

    Returns:
        Tensor: v, shape (..., N). Equal widths give the plain counts.
    """
    return examples / (examples.size(-1) * edges.diff(dim=-1))


def adaptive_edges(values: Tensor) -> Tensor:
    """Reassign the widths of the regions, the last steps of algorithm 1.

    ``d = 1 / log(max(v, e))``, scaled to sum to 1. The paper's ``log(v)`` is
    zero or negative for v <= 1; here every region with v <= e is equally wide.

    Args:
        values (Tensor): v of the finished epoch, shape (..., N).

    Returns:
        Tensor: New edges from 0 to exactly 1, shape (..., N + 1).
    """
    widths = 1 / values.clamp(min=math.e).log()
    upper = (widths / widths.sum(dim=-1, keepdim=True)).cumsum(dim=-1)
    edges = torch.cat([torch.zeros_like(upper[..., :1]), upper], dim=-1)
    # Rounding may carry a running sum past 1.
    edges.clamp_(max=1)
    edges[..., -1] = 1
    return edges


def uniform_histogram(
    class_counts: Tensor, num_regions: int
) -> Tuple[Tensor, Tensor]:
    """Prior histogram of categories of which only the size is known.

    Args:
        class_counts (Tensor): n, examples per category, shape (C,).
        num_regions (int): N, the number of unit regions.

    Returns:
        Tuple[Tensor, Tensor]: values ``v = n / N``, shape (C, N), and equal
        edges, shape (C, N + 1).
    """
    values = class_counts.float().div(num_regions).unsqueeze(1)
    edges = equal_edges(num_regions).to(class_counts.device)
    return (
        values.repeat(1, num_regions),
        edges.repeat(class_counts.numel(), 1),
    )
