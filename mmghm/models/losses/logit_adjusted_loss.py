"""Logit adjustment, also known as Balanced Softmax."""

from typing import Optional

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from .base import Counts, LongTailLoss, check_number


@MODELS.register_module()
class LogitAdjustedLoss(LongTailLoss):
    """Cross-entropy of ``z + tau * log prior``.

    Menon et al. 2021, eq. (10); with tau 1 it is Balanced Softmax (Ren et al.
    2020, eq. 4). The prior of a class is its share of the training examples;
    a class without any counts as one with a single example.

    Args:
        num_classes (int): C.
        tau (float): Strength, at least 0; 0 is cross-entropy.
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
        tau: float = 1.0,
        class_counts: Optional[Counts] = 'auto',
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('tau', tau, minimum=0)
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.tau = tau

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the adjusted cross-entropy.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        return F.cross_entropy(self._adjust(logits), target, reduction='none')

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the adjusted cross-entropy toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return -self._adjust(logits).log_softmax(dim=1)

    def _adjust(self, logits: Tensor) -> Tensor:
        # The total of the counts is a constant that softmax cancels.
        return logits + self.tau * self.class_counts.clamp(min=1).log()
