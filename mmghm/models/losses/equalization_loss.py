"""Softmax equalization: rare classes are spared the others' gradients."""

from typing import Optional

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.validation import check_number

from .base import ClassCountLoss
from .input_checks import Counts
from .ops import transformed_cross_entropy

# A logit that has left the softmax is lowered by at least half of it; what it
# is lowered by stays finite in sums over a batch.
DROPPED = 1e26
# Numbers that one draw can take: int16.
DRAWS = 2**16


def tail_thresholds(counts: Tensor, tail_ratio: float, gamma: float) -> Tensor:
    """Below which draw the logit of each class leaves the softmax.

    Args:
        counts (Tensor): Training examples per class, shape (C,).
        tail_ratio (float): Share of the mean below which a class belongs to
            the tail.
        gamma (float): Probability of leaving, rounded to 1 / 65536.

    Returns:
        Tensor: float32 (C,), to be compared with integers; below all draws
        for the head.
    """
    counts = counts.float()
    tail = counts < tail_ratio * counts.mean()
    return tail * (round(gamma * DRAWS) - 0.5) - (DRAWS // 2 + ~tail)


@MODELS.register_module()
class SoftmaxEqualizationLoss(ClassCountLoss):
    """Equalization loss in its softmax form (Tan et al. 2020).

    In each example the logit of every class but the target's leaves the
    softmax with probability gamma if the class belongs to the tail. Which
    classes do is stated by the source as a frequency per dataset; here a class
    belongs to the tail if it has fewer than ``tail_ratio`` times the mean
    number of training examples, so that one setting serves every dataset.

    Args:
        num_classes (int): C, the number of classes.
        gamma (float): Probability of leaving, in [0, 1]; 0 is cross-entropy.
        tail_ratio (float): Share of the mean class size, at least 0.
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
        gamma: float = 0.9,
        tail_ratio: float = 0.4,
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('gamma', gamma, minimum=0, maximum=1)
        check_number('tail_ratio', tail_ratio, minimum=0)
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.gamma = gamma
        self.tail_ratio = tail_ratio
        self._thresholds = CachedFunction(tail_thresholds)

    @property
    def is_tail(self) -> Tensor:
        """Which classes belong to the tail, bool (C,)."""
        return tail_thresholds(self.class_counts, self.tail_ratio, 1.0) > 0

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        return transformed_cross_entropy(logits, target, self._transform)

    def _transform(self, logits: Tensor, target: Tensor) -> Tensor:
        """Take a random part of the tail's logits out of the softmax."""
        drawn = self.draw(logits).clamp_(max=0)
        drawn.scatter_(1, target.unsqueeze(1), 0)
        return torch.add(logits, drawn, alpha=DROPPED)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the loss toward each class over one draw of the logits.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        drawn = self.draw(logits)
        kept = torch.add(logits, drawn.clamp(max=0), alpha=DROPPED)
        total = kept.logsumexp(1, keepdim=True)
        # The target's own logit stays in any case.
        with_own = torch.logaddexp(total, logits)
        return torch.where(drawn < 0, with_own, total) - logits

    def draw(self, logits: Tensor) -> Tensor:
        """Draw which logits leave the softmax.

        Four draws come out of one random number of 64 bits: on CPUs the
        generator is what takes the time.

        Args:
            logits (Tensor): z, shape (rows, C).

        Returns:
            Tensor: float32 (rows, C), below 0 where the logit leaves, and
            nowhere for a class of the head.
        """
        rows, width = logits.shape
        bits = logits.new_empty(rows, -(-width // 4), dtype=torch.int64)
        bits.random_(-(2**63), None)
        thresholds = self._thresholds(
            self.class_counts, self.tail_ratio, self.gamma
        )
        return bits.view(torch.int16)[:, :width] - thresholds
