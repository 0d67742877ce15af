"""Balance inside a category: the weight W of eq. (1).

Pure functions on tensors whose last dimension runs over the N unit regions of
one category, as in :mod:`.regions`. Symbols: ``v`` value of a region (a
density), ``d`` its width, ``S`` the effective size of a category, ``W`` a
region's weight.
"""

from typing import NamedTuple

import torch
from torch import Tensor

NORMALIZATIONS = ('none', 'regions', 'mean', 'gradient')


def gradient_norm(losses: Tensor) -> Tensor:
    """Gradient norm of examples, ``g = 1 - softmax(z + M_y)[y]``.

    Args:
        losses (Tensor): Their cross-entropies ``-log softmax(z + M_y)[y]``.

    Returns:
        Tensor: g in [0, 1], the same shape; without cancellation for
        well-fitted examples.
    """
    # Rounding may leave a loss a little below 0, and g must not be.
    return losses.neg().expm1_().neg_().clamp_(min=0)


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
