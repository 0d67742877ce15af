"""The paper's formulas as pure functions of tensors, each once.

"Solving the Long-Tailed Problem via Intra- and Inter-Category Balance" (Zhang
et al. 2022). The last dimension of a histogram runs over the N unit regions of
one category. Symbols: ``g`` gradient norm, ``d`` width of a region, ``v`` its
value (a density), ``S`` effective size of a category, ``W`` weight inside a
category, ``M`` margin between categories.
"""

import math
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

NORMALIZATIONS = ('none', 'regions', 'mean', 'gradient')
WEIGHTINGS = ('none', 'inverse', 'effective_number')


def gradient_norm(losses: Tensor) -> Tensor:
    """Gradient norm of examples, ``g = 1 - softmax(z + M_y)[y]``.

    Args:
        losses (Tensor): Their cross-entropies ``-log softmax(z + M_y)[y]``.

    Returns:
        Tensor: g in [0, 1], the same shape, exact also near 0.
    """
    # Rounding may leave a loss a little below 0.
    return losses.neg().expm1_().neg_().clamp_(min=0)


def equal_edges(num_regions: int) -> Tensor:
    """Edges of regions of equal width, the start of algorithm 1.

    Args:
        num_regions (int): N, at least 1.

    Returns:
        Tensor: float32 (N + 1,), from 0 to exactly 1.
    """
    return torch.arange(num_regions + 1, dtype=torch.float32) / num_regions


def find_region(norm: Tensor, interior: Tensor) -> Tensor:
    """Find the unit region of each gradient norm (algorithm 1).

    A region holds its lower edge and not its upper one; the last region holds
    1 as well. NaN is sorted into the last region: leave it out of counts.

    Args:
        norm (Tensor): g in [0, 1], shape (..., K).
        interior (Tensor): Rising edges without the outer ones, 0 and 1, shape
            (..., N - 1).

    Returns:
        Tensor: int64 in [0, N - 1], shape (..., K).
    """
    return torch.searchsorted(
        interior.contiguous(), norm.contiguous(), right=True
    )


def density(examples: Tensor, edges: Tensor) -> Tensor:
    """Value of each region, ``v = k / (N * d)`` (algorithm 1).

    Args:
        examples (Tensor): k, examples counted in each region, shape (..., N).
        edges (Tensor): Edges they were counted on, shape (..., N + 1).

    Returns:
        Tensor: v, shape (..., N); k itself where all widths are equal.
    """
    return examples / (examples.size(-1) * edges.diff(dim=-1))


def adaptive_edges(values: Tensor) -> Tensor:
    """Reassign the widths of the regions, the last steps of algorithm 1.

    ``d = 1 / log(max(v, e))``, scaled to sum to 1. The paper's ``log(v)`` is
    zero or negative for v <= 1; here all regions with v <= e are equally wide.

    Args:
        values (Tensor): v of the finished epoch, shape (..., N).

    Returns:
        Tensor: New edges from 0 to exactly 1, shape (..., N + 1).
    """
    widths = 1 / values.clamp(min=math.e).log()
    upper = (widths / widths.sum(dim=-1, keepdim=True)).cumsum(dim=-1)
    # Rounding may carry a running sum past 1, or leave the last one below.
    upper = upper[..., :-1].clamp(max=1)
    return F.pad(F.pad(upper, (1, 0), value=0.0), (0, 1), value=1.0)


def effective_size(values: Tensor, alpha: float) -> Tensor:
    """Effective size of a category, ``S = sum_i v_i ** alpha`` (section 3.2).

    Args:
        values (Tensor): v, shape (..., N); empty regions (0) do not enter.
        alpha (float): Effectiveness factor in (0, 1].

    Returns:
        Tensor: S, shape (...,); 0 for a category without examples.
    """
    return values.pow(alpha).sum(dim=-1)


def intra_weights(
    values: Tensor, edges: Tensor, alpha: float, normalize: str
) -> Tensor:
    """Weight of the examples in each region, eq. (1): ``W = S / v ** alpha``.

    The paper leaves the scale of W open; a category's weights are multiplied
    by

    - ``'none'``: 1, eq. (1) as printed;
    - ``'regions'``: 1 / number of occupied regions, as GHM's code does;
    - ``'mean'``: what makes the mean W of the category's examples 1;
    - ``'gradient'``: what keeps the category's total gradient norm, with the
      middle of a region standing for the gradient norms in it.

    An empty region has no value: an example there would be the only one, so
    ``v = 1 / (N * d)``.

    Args:
        values (Tensor): v, shape (..., N).
        edges (Tensor): Edges of the regions, shape (..., N + 1).
        alpha (float): Effectiveness factor in (0, 1].
        normalize (str): One of :data:`NORMALIZATIONS`.

    Returns:
        Tensor: W, positive and finite, shape (..., N); 1 for a category
        without examples.
    """
    widths = edges.diff(dim=-1)
    occupied = values > 0
    single = density(torch.ones_like(values), edges)
    powered = torch.where(occupied, values, single).pow(-alpha)
    if normalize == 'none':
        scale = effective_size(values, alpha)
    elif normalize == 'regions':
        scale = effective_size(values, alpha) / occupied.sum(dim=-1)
    else:
        # S cancels between W and the mean that W is divided by.
        moment = values * widths
        if normalize == 'gradient':
            moment = moment * (edges[..., :-1] + edges[..., 1:]) / 2
        scale = moment.sum(dim=-1) / (moment * powered).sum(dim=-1)
    weights = scale.unsqueeze(-1) * powered
    return torch.where(occupied.any(dim=-1, keepdim=True), weights, 1.0)


def eq2_margin_terms(sizes: Tensor, gamma: float) -> Tuple[Tensor, Tensor]:
    """Split the margin, eq. (2), into a term of the rival and of the target.

    ``M_mn = gamma * log(min(1, S_n / S_m)) = min(0, rival_n - target_m)``, so
    that no C x C matrix is needed. A category of size 0 has no margin: as a
    rival it counts as infinitely large, as a target as the smallest.

    Args:
        sizes (Tensor): S, shape (C,).
        gamma (float): Strength of the margin, at least 0.

    Returns:
        Tuple[Tensor, Tensor]: ``rival`` and ``target``, shape (C,) each.
    """
    present = sizes > 0
    logs = gamma * sizes.log()
    rival = torch.where(present, logs, float('inf'))
    smallest = rival.amin()
    # With nothing present the smallest is inf, and 0 serves as well.
    smallest = torch.where(smallest.isinf(), 0.0, smallest)
    return rival, torch.where(present, logs, smallest)


def balanced_margin_term(sizes: Tensor, gamma: float) -> Tensor:
    """Eq. (2) without its minimum: ``M_mn = gamma * log(S_n / S_m)``.

    The margin then also holds against larger rivals, and is one bias for each
    logit (Balanced Softmax, Ren et al. 2020, eq. 4, where gamma is 1).

    Args:
        sizes (Tensor): S, shape (C,).
        gamma (float): Strength of the margin, at least 0.

    Returns:
        Tensor: ``gamma * log(S)``, shape (C,). A category of size 0 gets the
        mean of the others.
    """
    present = sizes > 0
    logs = torch.where(present, sizes, 1.0).log()
    mean = logs.sum() / present.sum().clamp(min=1)
    return gamma * torch.where(present, logs, mean)


def add_margin(
    logits: Tensor, target: Tensor, rival: Tensor, own: Tensor
) -> Tensor:
    """Add the margin, eq. (2), to the logits: ``z + M_y`` of eq. (3).

    Up to a constant of each example, ``own[y]``, which softmax cancels.

    Args:
        logits (Tensor): z, float32 (B, C).
        target (Tensor): Class indices y, int64 (B,).
        rival (Tensor): Of :func:`eq2_margin_terms`, shape (C,).
        own (Tensor): Of :func:`eq2_margin_terms`, shape (C,).

    Returns:
        Tensor: Shape (B, C).
    """
    # min(0, rival - own) = min(rival, own) - own
    margin = torch.minimum(rival, own[target].unsqueeze(1))
    # In place: one buffer of B x C less.
    return margin.add_(logits)


def margin_cross_entropy_per_class(
    logits: Tensor, rival: Tensor, own: Tensor
) -> Tensor:
    """Cross-entropy of eq. (3) that an example would have with each class.

    Every target class has margins of its own. Sorted by size, the rivals
    smaller than the target have the factor ``exp(-own)`` and the others have
    none, so that two running sums give all C normalisers of an example in
    O(C), up to the sort.

    Args:
        logits (Tensor): z, float32 (B, C).
        rival (Tensor): Of :func:`eq2_margin_terms`, shape (C,).
        own (Tensor): Of :func:`eq2_margin_terms`, shape (C,).

    Returns:
        Tensor: Shape (B, C).
    """
    # The running sums have no gradient at -inf; a class masked by it keeps a
    # probability of 0.
    logits = logits.clamp(min=-1e37)
    rival, order = rival.sort()
    num_smaller = torch.searchsorted(rival, own, right=True)
    # Absent rivals come last and are never smaller: their size is not read,
    # but an infinity there would become NaN.
    rival = torch.where(rival.isinf(), 0.0, rival)
    ordered = logits[:, order]
    nothing = -float('inf')
    smaller = F.pad(
        (ordered + rival).logcumsumexp(dim=1), (1, 0), value=nothing
    )
    larger = F.pad(
        ordered.flip(1).logcumsumexp(dim=1), (1, 0), value=nothing
    ).flip(1)
    normaliser = torch.logaddexp(
        smaller[:, num_smaller] - own, larger[:, num_smaller]
    )
    return normaliser - logits


def class_weights(counts: Tensor, weighting: str, beta: float) -> Tensor:
    """Class weights with a mean of 1 over the classes that have images.

    - ``'inverse'``: proportional to 1 / n, class-balanced;
    - ``'effective_number'``: proportional to (1 - beta) / (1 - beta ** n)
      (Cui et al. 2019, eq. 2); beta 0 is no weighting, beta towards 1 the
      inverse frequency.

    A class without images has the weight of one with a single image.

    Args:
        counts (Tensor): n, training images of each class, shape (C,).
        weighting (str): One of :data:`WEIGHTINGS`.
        beta (float): In [0, 1), for ``'effective_number'``.

    Returns:
        Tensor: float32 (C,), positive.
    """
    # float64: for beta near 1 and few images 1 - beta ** n cancels.
    sizes = counts.clamp(min=1).double()
    if weighting == 'none':
        weights = torch.ones_like(sizes)
    elif weighting == 'inverse':
        weights = 1 / sizes
    else:
        weights = (1 - beta) / (1 - beta**sizes)
    present = counts > 0
    mean = (weights * present).sum() / present.sum()
    return torch.where(present.any(), weights / mean, 1.0).float()
