"""The asymmetric margin between categories, eq. (2), and its cross-entropy."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


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
    sizes: Tensor, gamma: float, two_sided: bool
) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """Prepare what :func:`add_margin` adds, once per change of the sizes.

    Args:
        sizes (Tensor): S per category, shape (C,).
        gamma (float): Strength of the margin; 0 is none.
        two_sided (bool): Whether eq. (2) goes without its minimum.

    Returns:
        Tuple[Optional[Tensor], Optional[Tensor]]: Shape (C,): what categories
        are as rivals, and as targets. Without the latter rivals' terms are
        added as they are; without both there is no margin.
    """
    if not gamma:
        return None, None
    if two_sided:
        return log_prior(sizes, gamma), None
    return log_sizes(sizes, gamma)


def add_margin(
    logits: Tensor,
    target: Tensor,
    rival: Optional[Tensor],
    own: Optional[Tensor],
) -> Tensor:
    """Add each example's margin to its logits: ``z + M_y`` of eq. (3).

    Up to a constant of the example, ``own[y]``, which softmax cancels:
    ``min(0, rival - own) = min(rival, own) - own``.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, shape (B,).
        rival (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).
        own (Optional[Tensor]): Of :func:`margin_terms`, shape (C,).

    Returns:
        Tensor: float32 (B, C).
    """
    if rival is None:
        return logits.float()
    if own is None:
        return logits + rival
    # Added in place into the margin: one buffer of B x C less.
    return torch.minimum(rival, own[target].unsqueeze(1)).add_(logits)


def margin_cross_entropy_per_class(
    logits: Tensor, sizes: Tensor, gamma: float, two_sided: bool = False
) -> Tensor:
    """Cross-entropy that each example would have with each class as target.

    Every target class has margins of its own. Sorted by size, the rivals
    smaller than the target share the factor ``exp(-target_m)`` and the others
    have none, so that two running sums give all C normalisers of an example
    in O(C),
    up to the sort.

    Args:
        logits (Tensor): z, float32 (B, C).
        sizes (Tensor): S per category, shape (C,).
        gamma (float): Strength of the margin; 0 is plain cross-entropy.
        two_sided (bool): Whether eq. (2) goes without its minimum.

    Returns:
        Tensor: Loss of each example for each target class, shape (B, C).
    """
    if two_sided:
        return -(logits + log_prior(sizes, gamma)).log_softmax(dim=1)
    if not gamma:
        return -logits.log_softmax(dim=1)
    rival, own = log_sizes(sizes, gamma)
    rival, order = rival.sort()
    num_smaller = torch.searchsorted(rival, own, right=True)
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
        smaller[:, num_smaller] - own, larger[:, num_smaller]
    )
    return normaliser - logits
