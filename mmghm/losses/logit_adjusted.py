"""Logit adjustment, also known as Balanced Softmax."""

from typing import Dict, Optional

import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.validation import check_number

from .base import ClassCountLoss
from .input_checks import Counts


class LogitAdjustedLoss(ClassCountLoss):
    """Cross-entropy of ``z + tau * log prior``.

    Menon et al. 2021, eq. (10); with tau 1 it is Balanced Softmax (Ren et al.
    2020, eq. 4). The prior of a class is its proportion of the training
    images; a class without any counts as one with a single image.

    Args:
        num_classes (int): C, the number of classes.
        tau (float): Strength, at least 0; 0 is cross-entropy.
        class_counts (Optional[Counts]): See
            :meth:`ClassCountLoss.init_class_counts`.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import LogitAdjustedLoss
        >>> loss = LogitAdjustedLoss(3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    logit_bias: Tensor
    needs_class_counts = True

    def __init__(
        self,
        num_classes: int,
        tau: float = 1.0,
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_number('tau', tau, minimum=0)
        self.tau = tau
        self.init_class_counts(class_counts)

    def count_tables(self, class_counts: Tensor) -> Dict[str, Tensor]:
        """``tau * log n``, up to a constant that softmax cancels."""
        return dict(logit_bias=self.tau * class_counts.clamp(min=1).log())

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that is left, ``n ** (1 - tau)``."""
        return class_counts.clamp(min=1).double() ** (1 - self.tau)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Adjusted cross-entropy with the label."""
        return F.cross_entropy(
            logits + self.logit_bias, target, reduction='none'
        )

    def class_losses(self, logits: Tensor) -> Tensor:
        """Adjusted cross-entropy with each class."""
        return -(logits + self.logit_bias).log_softmax(dim=1)
