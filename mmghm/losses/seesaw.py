"""Seesaw loss: mitigation by class sizes, compensation by scores."""

import math
from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.validation import check_number

from .base import LongTailLoss, sum_over_ranks
from .functional import add_margin, eq2_margin_terms
from .input_checks import require

# Mixup and CutMix mix two images.
MIXED_CLASSES = 2


def compensation(logits: Tensor, target: Tensor, eps: float = 1e-2) -> Tensor:
    """Logarithm of Seesaw's compensation factor with q = 1.

    ``log(max(1, s_j / max(s_i, eps)))`` for rival j of an example of class i
    (Wang et al. 2021, eq. 6), with the scores s of the raw logits; up to a
    constant of the example, which softmax cancels.

    Args:
        logits (Tensor): z, float32 (B, C).
        target (Tensor): Class indices, int64 (B,).
        eps (float): Lower bound of s_i.

    Returns:
        Tensor: Shape (B, C), without a gradient.
    """
    logits = logits.detach()
    own = logits.gather(1, target.unsqueeze(1))
    # log(s_j / max(s_i, eps)) = z_j - max(z_i, logsumexp(z) + log(eps))
    lowest = logits.logsumexp(1, keepdim=True) + math.log(eps)
    # max(0, z_j - threshold) + threshold
    return torch.maximum(logits, torch.maximum(own, lowest))


class SeesawCrossEntropyLoss(LongTailLoss):
    """Seesaw loss (Wang et al. 2021) without loops and C x C matrices.

    Equals MMPretrain's ``SeesawLoss`` on one process. Beyond it, examples are
    counted in training mode only and over all ranks, and soft targets work.

    State: ``seen``, int64 (C,), examples of each class so far on all ranks.

    Args:
        num_classes (int): C, the number of classes.
        p (float): Strength of the mitigation, at least 0.
        q (float): Strength of the compensation, at least 0.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import SeesawCrossEntropyLoss
        >>> loss = SeesawCrossEntropyLoss(3)
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    seen: Tensor

    def __init__(
        self,
        num_classes: int,
        p: float = 0.8,
        q: float = 2.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_number('p', p, minimum=0)
        check_number('q', q, minimum=0)
        self.p = p
        self.q = q
        self.register_state()

    def initial_state(self) -> Dict[str, Tensor]:
        """No example seen."""
        return dict(seen=torch.zeros(self.num_classes, dtype=torch.int64))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        An example with soft targets counts for its largest class.
        """
        if self.training:
            label = target if target.dim() == 1 else target.argmax(dim=1)
            batch = torch.zeros_like(self.seen)
            label = label.long()
            batch.scatter_add_(0, label, torch.ones_like(label))
            self.seen.add_(sum_over_ranks(batch))
        if target.dim() == 1:
            return self.hard_target_losses(logits, target.long())
        # Compensation compares every rival with the target, C x C for all
        # classes of one example: two classes are what mixing makes.
        parts, classes = target.topk(min(MIXED_CLASSES, self.num_classes))
        others = target.scatter(1, classes, 0)
        require(
            others == 0,
            others,
            f'{type(self).__name__}: soft targets may mix at most '
            f'{MIXED_CLASSES} classes an example, further ones must be 0 '
            '(label smoothing does not go with this loss)',
        )
        losses = self.hard_target_losses(
            logits.repeat(classes.size(1), 1), classes.t().flatten()
        )
        return (losses.view_as(classes.t()).t() * parts).sum(dim=1)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the logits with both factors (eq. 4) as margins."""
        # Mitigation, eq. (5), is eq. (2) of GHM-CWAP by what was seen so far.
        sizes = self.seen.clamp(min=1).float()
        margins = eq2_margin_terms(sizes, self.p)
        adjusted = add_margin(logits, target, *margins)
        if self.q:
            adjusted.add_(compensation(logits, target), alpha=self.q)
        return F.cross_entropy(adjusted, target, reduction='none')
