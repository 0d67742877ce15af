"""Label-distribution-aware margins."""

from typing import Any, Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.validation import check_number

from .input_checks import Counts
from .reweighted import ClassWeightedLoss


def ldam_margins(counts: Tensor, max_margin: float) -> Tensor:
    """Margins proportional to ``n ** (-1/4)`` (Cao et al. 2019, eq. 13).

    Args:
        counts (Tensor): n, training images of each class, shape (C,).
        max_margin (float): Margin of the smallest class that has images, and
            of classes without any.

    Returns:
        Tensor: float32 (C,), in (0, max_margin].
    """
    margins = counts.clamp(min=1).float() ** -0.25
    present = torch.where(counts > 0, margins, 0.0)
    largest = torch.where((counts > 0).any(), present.max(), 1.0)
    return (max_margin * margins / largest).clamp(max=max_margin)


def logsumexp_of_others(logits: Tensor) -> Tensor:
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
        class_counts (Optional[Counts]): See
            :meth:`ClassCountLoss.init_class_counts`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import LDAMLoss
        >>> loss = LDAMLoss(3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    margins: Tensor

    def __init__(
        self,
        num_classes: int,
        max_margin: float = 0.5,
        scale: float = 30.0,
        weighting: str = 'none',
        class_counts: Optional[Counts] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, weighting, **kwargs)
        check_number('max_margin', max_margin, minimum=0)
        check_number('scale', scale, minimum=0, open_minimum=True)
        self.needs_class_counts = True
        self.max_margin = max_margin
        self.scale = scale
        self.init_class_counts(class_counts)

    def count_tables(self, class_counts: Tensor) -> Dict[str, Tensor]:
        """Margin of each class, and its weight."""
        return dict(
            super().count_tables(class_counts),
            margins=ldam_margins(class_counts, self.max_margin),
        )

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of cosines with the label, whose own is lowered."""
        lowered = (self.margins * -self.scale)[target].unsqueeze(1)
        scaled = logits * self.scale
        scaled.scatter_add_(1, target.unsqueeze(1), lowered)
        return F.cross_entropy(scaled, target, reduction='none')

    def class_losses(self, logits: Tensor) -> Tensor:
        """Loss of cosines with each class, each with a margin of its own."""
        own = self.scale * (logits - self.margins)
        others = logsumexp_of_others(self.scale * logits)
        return torch.logaddexp(others, own) - own
