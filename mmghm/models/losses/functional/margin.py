"""The asymmetric margin between categories, eq. (2), and its cross-entropy."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .intra_weight import effective_size

# What the margin of eq. (2) may be.
MARGINS = ('balanced', 'paper', 'none')


def log_sizes(sizes: Tensor, gamma: float) -> Tuple[Tensor, Tensor]:
    """Split eq. (2) into what a category is as a rival and as a target.

    ``M_mn = gamma * log(min(1, S_n / S_m)) = min(0, rival_n - target_m)``,
    so that no C x C matrix is needed. A category of size 0 takes part in no
    margin: as a rival it counts as infinitely large, as a target as the
    smallest.

    Args:
        sizes (Tensor): S, effective sizes (eq. 2) or class counts, shape (C,).
        gamma (float): Strength of the margin, at least 0.

    Returns:
        Tuple[Tensor, Tensor]: ``rival`` and ``target``, both of shape (C,).
    """
    present = sizes > 0
    scaled = gamma * torch.where(present, sizes, torch.ones_like(sizes)).log()
    rival = scaled.masked_fill(~present, float('inf'))
    # With nothing present the smallest is inf, and 0 serves as well.
    smallest = rival.min()
    smallest = torch.where(smallest.isinf(), smallest.new_zeros(()), smallest)
    return rival, torch.where(present, scaled, smallest)


def log_prior(sizes: Tensor, gamma: float) -> Tensor:
    """Eq. (2) without its minimum: ``M_mn = gamma * log(S_n / S_m)``.

    The margin then also holds against larger rivals, and splits into a shift
    of each logit that all targets share (logit adjustment, Menon et al. 2021).

    Args:
        sizes (Tensor): S, shape (C,).
        gamma (float): Strength of the margin, at least 0.

    Returns:
        Tensor: ``gamma * log(S)``, shape (C,). A category of size 0 gets the
        mean of the others.
    """
    present = sizes > 0
    logs = torch.where(present, sizes, torch.ones_like(sizes)).log()
    mean = logs.sum() / present.sum().clamp(min=1)
    return gamma * torch.where(present, logs, mean)


def margin_terms(
    densities: Tensor,
    edges: Tensor,
    class_counts: Tensor,
    margin: str,
    alpha: float,
    gamma: float,
) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """Prepare what :func:`add_margin` adds.

    Args:
        densities (Tensor): v of each category's regions, shape (C, N).
        edges (Tensor): Edges of the regions, shape (C, N + 1).
        class_counts (Tensor): n, int64 (C,); 0 where it is not known.
        margin (str): One of :data:`MARGINS`: ``'paper'`` is eq. (2) as
            printed; ``'balanced'`` goes without its minimum and takes n for S,
            or where it is not known the examples of the histogram.
        alpha (float): Effectiveness factor of S in (0, 1].
        gamma (float): Strength of the margin, at least 0.

    Returns:
        Tuple[Optional[Tensor], Optional[Tensor]]: ``logit_bias`` and
        ``target_bias``, shape (C,): what categories are as rivals, and as
        targets. Without the latter the former is added as it is; without both
        there is no margin.
    """
    if margin == 'none':
        return None, None
    if margin == 'paper':
        return log_sizes(effective_size(densities, alpha), gamma)
    num_regions = densities.size(1)
    counted = num_regions * torch.linalg.vecdot(densities, edges.diff(dim=1))
    sizes = torch.where(class_counts > 0, class_counts.float(), counted)
    return log_prior(sizes, gamma), None


def add_margin(
    logits: Tensor,
    target: Tensor,
    logit_bias: Optional[Tensor],
    target_bias: Optional[Tensor],
) -> Tensor:
    """Add each example's margin to its logits: ``z + M_y`` of eq. (3).

    Up to a constant of the example, ``t[y]``, which softmax cancels:
    ``min(0, b - t[y]) = min(b, t[y]) - t[y]``, with b and t the two biases.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, shape (B,).
        logit_bias (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).
        target_bias (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).

    Returns:
        Tensor: float32 (B, C).
    """
    if logit_bias is None:
        return logits.float()
    if target_bias is None:
        return logits + logit_bias
    # Added in place into the margin: one buffer of B x C less.
    ceiling = target_bias[target].unsqueeze(1)
    return torch.minimum(logit_bias, ceiling).add_(logits)


def margin_cross_entropy_per_class(
    logits: Tensor, logit_bias: Optional[Tensor], target_bias: Optional[Tensor]
) -> Tensor:
    """Cross-entropy that each example would have with each class as target.

    Every target class has margins of its own. Sorted by size, the rivals
    smaller than the target share the factor ``exp(-target_bias)`` and the
    others have none, so that two running sums give all C normalisers of an
    example in O(C), up to the sort.

    Args:
        logits (Tensor): z, float32 (B, C).
        logit_bias (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).
        target_bias (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).

    Returns:
        Tensor: Loss of each example for each target class, shape (B, C).
    """
    if logit_bias is None:
        return -logits.log_softmax(dim=1)
    if target_bias is None:
        return -(logits + logit_bias).log_softmax(dim=1)
    rival, order = logit_bias.sort()
    num_smaller = torch.searchsorted(rival, target_bias, right=True)
    # Absent rivals come last and are never "smaller": their size is not read,
    # but an infinity there would turn into NaN gradients.
    rival = rival.masked_fill(rival.isinf(), 0)

    ordered = logits[:, order]
    nothing = -float('inf')
    smaller = F.pad(
        (ordered + rival).logcumsumexp(dim=1), (1, 0), value=nothing
    )
    larger = F.pad(
        ordered.flip(1).logcumsumexp(dim=1), (1, 0), value=nothing
    ).flip(1)
    normaliser = torch.logaddexp(
        smaller[:, num_smaller] - target_bias, larger[:, num_smaller]
    )
    return normaliser - logits
