"""Logit adjustment, also known as Balanced Softmax."""

from typing import Optional, Tuple

from mmengine.registry import MODELS
from torch import Tensor

from ..utils.cached_terms import CachedTerms
from .base import Counts, check_number
from .softmax_loss import SoftmaxLoss


def log_counts(counts: Tensor, tau: float) -> Tensor:
    """What logit adjustment adds, up to a constant that softmax cancels.

    Args:
        counts (Tensor): n, training examples per class, shape (C,).
        tau (float): Strength.

    Returns:
        Tensor: ``tau * log n``, float32 (C,).
    """
    return tau * counts.clamp(min=1).log()


@MODELS.register_module()
class LogitAdjustedLoss(SoftmaxLoss):
    """Cross-entropy of ``z + tau * log prior``.

    Menon et al. 2021, eq. (10); with tau 1 it is Balanced Softmax (Ren et al.
    2020, eq. 4). The prior of a class is its share of the training examples;
    a class without any counts as one with a single example.

    Args:
        num_classes (int): C, the number of classes.
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
        self._log_counts = CachedTerms(log_counts)

    def margin(self) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Give the prior, which every example's logits get.

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: float32 (C,), and None.
        """
        return self._log_counts(self.class_counts, self.tau), None

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the adjusted cross-entropy toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        prior = self._log_counts(self.class_counts, self.tau)
        return -(logits + prior).log_softmax(dim=1)
