"""Logit adjustment, also known as Balanced Softmax."""

from typing import Optional

from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.validation import check_number

from .base import ClassCountLoss
from .input_checks import Counts
from .ops import adjusted_cross_entropy


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
class LogitAdjustedLoss(ClassCountLoss):
    """Cross-entropy of ``z + tau * log prior``.

    Menon et al. 2021, eq. (10); with tau 1 it is Balanced Softmax (Ren et al.
    2020, eq. 4). The prior of a class is its share of the training examples;
    a class without any counts as one with a single example.

    Args:
        num_classes (int): C, the number of classes.
        tau (float): Strength, at least 0; 0 is cross-entropy.
        class_counts (Optional[Counts]): See :class:`ClassCountLoss`.
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
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('tau', tau, minimum=0)
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.tau = tau
        self._log_counts = CachedFunction(log_counts)

    @property
    def logit_bias(self) -> Tensor:
        """What is added to the logits, up to a constant, float32 (C,)."""
        return self._log_counts(self.class_counts, self.tau)

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that is left once the logits carry the rest.

        Args:
            class_counts (Tensor): n, training examples per class, (C,).

        Returns:
            Optional[Tensor]: ``n ** (1 - tau)``, float64 (C,).
        """
        return class_counts.clamp(min=1).double() ** (1 - self.tau)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the adjusted cross-entropy of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        return adjusted_cross_entropy(logits, target, self.logit_bias)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the adjusted cross-entropy toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return -(logits + self.logit_bias).log_softmax(dim=1)
