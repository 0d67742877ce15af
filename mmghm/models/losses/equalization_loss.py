"""Softmax equalization: rare classes are spared the others' gradients."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from .base import Counts, LongTailLoss, check_number


def equalized_cross_entropy(
    logits: Tensor, target: Tensor, kept: Tensor
) -> Tensor:
    """Cross-entropy over the kept logits and the target's.

    Args:
        logits (Tensor): z, float32 (B, C).
        target (Tensor): Class indices, shape (B,).
        kept (Tensor): Which logits stay in the softmax, bool (B, C).

    Returns:
        Tensor: Shape (B,).
    """
    kept = kept.scatter(1, target.unsqueeze(1), True)
    dropped = torch.finfo(logits.dtype).min
    return F.cross_entropy(
        logits.masked_fill(~kept, dropped), target, reduction='none'
    )


@MODELS.register_module()
class SoftmaxEqualizationLoss(LongTailLoss):
    """Equalization loss in its softmax form (Tan et al. 2020).

    In each example the logit of every class but the target's leaves the
    softmax with probability gamma if the class belongs to the tail. Which
    classes do is stated by the source as a frequency per dataset; here a class
    belongs to the tail if it has fewer than ``tail_ratio`` times the mean
    number of training examples, so that one setting serves every dataset.

    Args:
        num_classes (int): C.
        gamma (float): Probability of leaving, in [0, 1]; 0 is cross-entropy.
        tail_ratio (float): Share of the mean class size, at least 0.
        class_counts (Optional[Counts]): See :class:`LongTailLoss`.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    needs_class_counts = True

    def __init__(
        self,
        num_classes: int,
        gamma: float = 0.9,
        tail_ratio: float = 0.4,
        class_counts: Optional[Counts] = 'auto',
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('gamma', gamma, minimum=0, maximum=1)
        check_number('tail_ratio', tail_ratio, minimum=0)
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.gamma = gamma
        self.tail_ratio = tail_ratio

    @property
    def is_tail(self) -> Tensor:
        """Which classes belong to the tail, bool (C,)."""
        counts = self.class_counts.float()
        return counts < self.tail_ratio * counts.mean()

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute cross-entropy over a random part of the logits.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        return equalized_cross_entropy(logits, target, self.draw_kept(logits))

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the loss toward each class over one draw of the logits.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        kept = self.draw_kept(logits)
        dropped = torch.finfo(logits.dtype).min
        total = logits.masked_fill(~kept, dropped).logsumexp(1, keepdim=True)
        # The target's own logit stays in any case.
        with_own = torch.logaddexp(total, logits)
        return torch.where(kept, total, with_own) - logits

    def draw_kept(self, logits: Tensor) -> Tensor:
        """Draw which logits stay in the softmax.

        Args:
            logits (Tensor): z, shape (B, C).

        Returns:
            Tensor: bool (B, C), True for every class of the head.
        """
        leaves = torch.rand_like(logits) < self.gamma
        return ~(leaves & self.is_tail)
