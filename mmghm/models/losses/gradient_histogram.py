"""Gradient-norm histograms: the mathematics of eq. (1) and of algorithm 1.

Pure functions on tensors whose last dimension runs over the N unit regions of
one category; any leading dimensions (none, C categories, B examples) are kept.
Symbols: ``v`` value of a region (a density), ``d`` its width, ``k`` its number
of examples, ``S`` the effective size of a category, ``W`` a region's weight.
"""

import math
from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

NORMALIZATIONS = ('none', 'regions', 'mean', 'gradient')


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


def effective_size(values: Tensor, alpha: float) -> Tensor:
    """Effective sample size of a category, ``S = sum_i v_i ** alpha``.

    Args:
        values (Tensor): v, shape (..., N). Empty regions (0) do not enter.
        alpha (float): Effectiveness factor in (0, 1].

    Returns:
        Tensor: S, shape (...,); 0 for a category without examples.
    """
    return values.pow(alpha).sum(dim=-1)


class RegionTerms(NamedTuple):
    """What the weights need to know of the edges.

    Args:
        interior (Tensor): Edges without the outer ones, shape (..., N - 1).
        lone_example (Tensor): v of a region with a single example,
            ``1 / (N * d)``, shape (..., N).
        moment (Tensor): What an example's share of the category is multiplied
            by where the weights are scaled by a mean: d, or d times the middle
            of the region, shape (..., N).
    """

    interior: Tensor
    lone_example: Tensor
    moment: Tensor


def region_terms(edges: Tensor, normalize: str) -> RegionTerms:
    """Prepare what the weights need to know of the edges.

    Args:
        edges (Tensor): Shape (..., N + 1).
        normalize (str): One of :data:`NORMALIZATIONS`.

    Returns:
        RegionTerms: The terms.
    """
    widths = edges.diff(dim=-1)
    moment = widths
    if normalize == 'gradient':
        moment = widths * (edges[..., :-1] + edges[..., 1:]) / 2
    return RegionTerms(
        edges[..., 1:-1].contiguous(),
        1 / (widths.size(-1) * widths),
        moment,
    )


def category_scale(
    values: Tensor, moment: Tensor, alpha: float, normalize: str
) -> Tensor:
    """Factor of ``v ** -alpha`` that makes it the weight of eq. (1).

    Eq. (1) is ``r = S / v ** alpha``. The paper leaves its scale open; a
    category's weights are scaled by

    - ``'none'``: 1, eq. (1) as printed;
    - ``'regions'``: 1 / number of occupied regions, as GHM's code does;
    - ``'mean'``: the examples of a category keep a mean weight of 1;
    - ``'gradient'``: a category keeps its total gradient norm, with the
      middle of a region standing for the gradient norms in it.

    Args:
        values (Tensor): v, shape (..., N).
        moment (Tensor): Of :class:`RegionTerms`, shape (..., N).
        alpha (float): Effectiveness factor in (0, 1].
        normalize (str): One of :data:`NORMALIZATIONS`.

    Returns:
        Tensor: Shape (...,); not positive (0 or NaN) for a category without
        any example.
    """
    if normalize == 'none':
        return effective_size(values, alpha)
    if normalize == 'regions':
        return effective_size(values, alpha) / (values > 0).sum(dim=-1)
    # S cancels. A power of 0 would make 1 of empty regions, too.
    rest = values.pow(1 - alpha) if alpha < 1 else (values > 0).float()
    return (values * moment).sum(dim=-1) / (rest * moment).sum(dim=-1)


def region_weight(
    values: Tensor, edges: Tensor, alpha: float, normalize: str
) -> Tensor:
    """Weight of the examples in each region, eq. (1) times a category's scale.

    An empty region has no value: an example there would be the only one, so
    ``v = 1 / (N * d)``. A category without any example gets weights of 1.

    Args:
        values (Tensor): v, shape (..., N).
        edges (Tensor): Edges of the regions, shape (..., N + 1).
        alpha (float): Effectiveness factor in (0, 1].
        normalize (str): See :func:`category_scale`.

    Returns:
        Tensor: W, positive and finite, shape (..., N).
    """
    terms = region_terms(edges, normalize)
    scale = category_scale(values, terms.moment, alpha, normalize)
    return scaled_weight(values, terms.lone_example, scale.unsqueeze(-1), alpha)


def scaled_weight(
    values: Tensor, lone_example: Tensor, scale: Tensor, alpha: float
) -> Tensor:
    """Finish :func:`region_weight` for some regions.

    Args:
        values (Tensor): v of the regions.
        lone_example (Tensor): Their v with a single example.
        scale (Tensor): :func:`category_scale` of their categories.
        alpha (float): Effectiveness factor in (0, 1].

    Returns:
        Tensor: W.
    """
    values = torch.where(values > 0, values, lone_example)
    return torch.where(scale > 0, scale * values.pow(-alpha), 1.0)


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


def remap(values: Tensor, edges: Tensor, new_edges: Tensor) -> Tensor:
    """Carry a histogram over to other edges, its number of examples kept.

    v is a density: it is integrated, and the integral differenced at the new
    edges, as if the examples of a region lay evenly in it.

    Args:
        values (Tensor): v, shape (..., N).
        edges (Tensor): Edges they were counted on, shape (..., N + 1).
        new_edges (Tensor): Edges from 0 to 1 as well, shape (..., N + 1).

    Returns:
        Tensor: v on the new edges, shape (..., N).
    """
    # In float64, lest rounding put a trace of an example into an empty region:
    # eq. (1) weighs rare examples up, traces most of all.
    values, old, new = values.double(), edges.double(), new_edges.double()
    examples = values * old.diff(dim=-1)
    below = F.pad(examples.cumsum(dim=-1), (1, 0))
    region = find_region(new, old)
    into_region = new - old.gather(-1, region)
    integral = below.gather(-1, region) + into_region * values.gather(
        -1, region
    )
    share = integral.diff(dim=-1)
    share = torch.where(share > 1e-9 * integral[..., -1:], share, 0.0)
    return (share / new.diff(dim=-1)).to(edges.dtype)


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
