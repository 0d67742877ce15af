"""Seesaw loss: mitigation by class sizes, compensation by scores."""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor

from .base import Counts, LongTailLoss, check_number, require
from .margin import inter_category_margin


def seesaw_cross_entropy(
    logits: Tensor,
    target: Tensor,
    sizes: Tensor,
    p: float,
    q: float,
    eps: float = 1e-2,
) -> Tensor:
    """Cross-entropy with Seesaw's two factors as margins.

    Rival j of an example of class i gets
    ``p * log(min(1, N_j / N_i)) + q * log(max(1, s_j / s_i))``
    (Wang et al. 2021, eq. 4 to 6).

    Args:
        logits (Tensor): z, float32 (B, C).
        target (Tensor): Class indices, shape (B,).
        sizes (Tensor): N, examples of each class so far, positive, shape (C,).
        p (float): Strength of the mitigation.
        q (float): Strength of the compensation.
        eps (float): Lower bound of s_i.

    Returns:
        Tensor: Shape (B,).
    """
    adjusted = logits
    if p:
        adjusted = adjusted + inter_category_margin(sizes, target, p)
    if q:
        scores = logits.detach().log_softmax(dim=1)
        own = scores.gather(1, target.unsqueeze(1))
        excess = (scores - own.clamp(min=math.log(eps))).clamp(min=0)
        # The target is no rival of its own, also where s_i < eps.
        excess = excess.scatter(1, target.unsqueeze(1), 0)
        adjusted = adjusted + q * excess
    return F.cross_entropy(adjusted, target, reduction='none')


# Mixup and CutMix mix two images.
MIXED_CLASSES = 2


@MODELS.register_module()
class SeesawCrossEntropyLoss(LongTailLoss):
    """Seesaw loss (Wang et al. 2021) without loops and C x C matrices.

    Equals mmpretrain's ``SeesawLoss`` on one process. Beyond it, examples are
    counted in training mode only and over all ranks, and soft targets work.

    State: ``seen``, int64 (C,), examples of each class so far on all ranks.

    Args:
        num_classes (int): C.
        p (float): Strength of the mitigation, at least 0.
        q (float): Strength of the compensation, at least 0.
        class_counts (Optional[Counts]): Not used: Seesaw counts for itself.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    seen: Tensor

    def __init__(
        self,
        num_classes: int,
        p: float = 0.8,
        q: float = 2.0,
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('p', p, minimum=0)
        check_number('q', q, minimum=0)
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.p = p
        self.q = q
        self.register_state('seen', torch.zeros(num_classes, dtype=torch.int64))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,) or floating (B, C), checked; a mixed
                example counts for its largest share.

        Returns:
            Tensor: Shape (B,).
        """
        if self.training:
            label = target if target.dim() == 1 else target.argmax(dim=1)
            batch = torch.zeros_like(self.seen)
            batch.scatter_add_(0, label, torch.ones_like(label))
            all_reduce(batch)
            self.seen.add_(batch)
        if target.dim() == 1:
            return self.label_losses(logits, target)
        # Compensation compares every rival with the target, C x C for all
        # classes of one example: two classes are what mixing makes.
        shares, classes = target.topk(min(MIXED_CLASSES, self.num_classes))
        others = target.scatter(1, classes, 0)
        require(
            others == 0,
            others,
            f'{type(self).__name__}: target may mix at most {MIXED_CLASSES} '
            'classes an example, the share of a further one must be 0',
        )
        losses = self.label_losses(
            logits.repeat(classes.size(1), 1), classes.t().flatten()
        )
        return (losses.view_as(classes.t()).t() * shares).sum(dim=1)

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute Seesaw's cross-entropy.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        sizes = self.seen.clamp(min=1).float()
        return seesaw_cross_entropy(logits, target, sizes, self.p, self.q)
