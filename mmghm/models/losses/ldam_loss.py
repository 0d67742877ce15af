"""Label-distribution-aware margins."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.validation import check_number

from .ops import transformed_cross_entropy
from .weighted_loss import ClassWeightedLoss


def ldam_margins(counts: Tensor, max_margin: float) -> Tensor:
    """Margins proportional to ``n ** (-1/4)`` (Cao et al. 2019, eq. 13).

    Args:
        counts (Tensor): n, training examples per class, shape (C,); a class
            without any counts as one with a single example.
        max_margin (float): Margin of the smallest class.

    Returns:
        Tensor: float32 (C,), in (0, max_margin].
    """
    margins = counts.clamp(min=1).float() ** -0.25
    return max_margin / margins.max() * margins


def rivals(logits: Tensor) -> Tensor:
    """Log-sum-exp of all logits but one, for each of them.

    Args:
        logits (Tensor): Shape (B, C).

    Returns:
        Tensor: Shape (B, C); -inf if there is only one class.
    """
    nothing = -float('inf')
    before = F.pad(logits[:, :-1].logcumsumexp(1), (1, 0), value=nothing)
    after = logits.flip(1)[:, :-1].logcumsumexp(1).flip(1)
    return torch.logaddexp(before, F.pad(after, (0, 1), value=nothing))


@MODELS.register_module()
class LDAMLoss(ClassWeightedLoss):
    """Cross-entropy with a label-distribution-aware margin.

    ``CE(scale * (cos - m_y at y), y)`` (Cao et al. 2019, eq. 12). The logits
    must be cosines: use it with ``NormedLinearClsHead``. LDAM-DRW is this
    with ``weighting='effective_number'`` and ``DeferredReweightingHook``.

    Args:
        num_classes (int): C, the number of classes.
        max_margin (float): Margin of the smallest class, at least 0.
        scale (float): Factor of the cosines, above 0.
        weighting (str): See :class:`ClassWeightedLoss`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weighting: str = 'none',
        **kwargs: Any,
    ) -> None:
        check_number('max_margin', max_margin, minimum=0)
        check_number('scale', scale, minimum=0, open_minimum=True)
        super().__init__(num_classes, weighting, **kwargs)
        self.needs_class_counts = True
        self.max_margin = max_margin
        self.scale = scale
        self._margins = CachedFunction(ldam_margins)

    @property
    def margins(self) -> Tensor:
        """Margin of each class, float32 (C,)."""
        return self._margins(self.class_counts, self.max_margin)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example with a label.

        Args:
            logits (Tensor): Cosines, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        return transformed_cross_entropy(
            logits, target, self._transform, self.scale
        )

    def _transform(self, logits: Tensor, target: Tensor) -> Tensor:
        """Lower the target's cosine by its margin, and scale."""
        lowered = (self.margins * -self.scale)[target].unsqueeze(1)
        scaled = logits.float() * self.scale
        return scaled.scatter_add_(1, target.unsqueeze(1), lowered)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the loss toward each class, each with a margin of its own.

        Args:
            logits (Tensor): Cosines, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        own = self.scale * (logits - self.margins)
        return torch.logaddexp(rivals(self.scale * logits), own) - own
