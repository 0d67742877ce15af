"""Softmax equalization: rare classes are spared the others' gradients."""

from typing import Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.validation import check_number

from .base import ClassCountLoss
from .input_checks import Counts

# What a logit that leaves is lowered by: its softmax is 0, and sums over a
# batch stay finite. A sum is many times as fast as a choice, such as
# masked_fill.
LOWERED = 1e26


class SoftmaxEqualizationLoss(ClassCountLoss):
    """Equalization loss in its softmax form (Tan et al. 2020).

    In each example the logit of every class but the target's leaves the
    softmax with probability gamma if the class belongs to the tail. The
    source states this as a frequency for each dataset. Here a class belongs to
    the tail if it has fewer than ``tail_ratio`` times the
    mean number of training images, so that one setting fits every dataset.

    Args:
        num_classes (int): C, the number of classes.
        gamma (float): Probability of leaving, in [0, 1], rounded to 1 / 65536;
            0 is cross-entropy.
        tail_ratio (float): Fraction of the mean size of the classes that have
            images, at least 0.
        class_counts (Optional[Counts]): See
            :meth:`ClassCountLoss.init_class_counts`.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import SoftmaxEqualizationLoss
        >>> loss = SoftmaxEqualizationLoss(3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    thresholds: Tensor
    needs_class_counts = True

    def __init__(
        self,
        num_classes: int,
        gamma: float = 0.9,
        tail_ratio: float = 0.4,
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_number('gamma', gamma, minimum=0, maximum=1)
        check_number('tail_ratio', tail_ratio, minimum=0)
        self.gamma = gamma
        self.tail_ratio = tail_ratio
        self.init_class_counts(class_counts)

    def count_tables(self, class_counts: Tensor) -> Dict[str, Tensor]:
        """Below which 16-bit integer the logit of a class leaves."""
        present = (class_counts > 0).sum().clamp(min=1)
        mean = class_counts.sum() / present
        is_tail = class_counts < self.tail_ratio * mean
        leaving = is_tail * round(self.gamma * 2**16)
        return dict(thresholds=(leaving - 2**15).int())

    def draw(self, logits: Tensor) -> Tensor:
        """Draw which logits leave the softmax, bool of the logits' shape.

        Four draws come out of one random number of 64 bits: on a CPU the
        generator is what takes the time.
        """
        rows, width = logits.shape
        bits = logits.new_empty(rows, -(-width // 4), dtype=torch.int64)
        bits.random_(-(2**63), None)
        return bits.view(torch.int16)[:, :width] < self.thresholds

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy with the label over one draw of the rivals."""
        leaves = self.draw(logits).scatter(1, target.unsqueeze(1), False)
        kept = torch.sub(logits, leaves.float(), alpha=LOWERED)
        return F.cross_entropy(kept, target, reduction='none')

    def class_losses(self, logits: Tensor) -> Tensor:
        """Cross-entropy with each class over one draw of the rivals."""
        leaves = self.draw(logits)
        kept = torch.sub(logits, leaves.float(), alpha=LOWERED)
        total = kept.logsumexp(1, keepdim=True)
        # The target's own logit stays in any case.
        with_own = torch.logaddexp(total, logits)
        return torch.where(leaves, with_own, total) - logits
