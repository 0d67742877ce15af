"""GHM-C: gradient harmonising over all classes together."""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.errors import UserError
from mmghm.utils.validation import check_choice, check_integer, check_number

from .base import LongTailLoss, sum_over_ranks


class GHMCrossEntropyLoss(LongTailLoss):
    """Gradient harmonised binary cross-entropy (Li et al. 2019, eq. 9 and 10).

    The gradient norm of each (example, class) pair, ``|sigmoid(z) - t|``, is
    counted in ``bins`` regions of equal width; a pair has the weight
    ``pairs / count / occupied bins``. This is the form for detection, which
    the paper's row "GHM" takes as it is.

    State: ``smooth_counts``, float32 (bins,), moving average of the counts of
    all ranks in bins that were occupied; changed in training mode.

    Args:
        num_classes (int): C, the number of classes.
        bins (int): Regions, at least 1.
        momentum (float): Part of the past in the moving average, in [0, 1);
            0 takes each batch's own counts.
        normalize (str): ``'pairs'`` divides the sum by B * C, as MMDetection's
            code does; ``'samples'`` by B, which keeps the gradient independent
            of the number of classes.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import GHMCrossEntropyLoss
        >>> loss = GHMCrossEntropyLoss(3)
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    smooth_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        bins: int = 30,
        momentum: float = 0.75,
        normalize: str = 'pairs',
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_integer('bins', bins, minimum=1)
        check_number('momentum', momentum, minimum=0)
        if momentum >= 1:
            raise UserError(f'momentum must be in [0, 1), got {momentum}')
        check_choice('normalize', normalize, ('pairs', 'samples'))
        self.bins = bins
        self.momentum = momentum
        self.normalize = normalize
        self.register_state()

    def initial_state(self) -> Dict[str, Tensor]:
        """No pair counted."""
        return dict(smooth_counts=torch.zeros(self.bins))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        The sum over the classes, divided by C under ``'pairs'``.
        """
        if target.dim() == 1:
            own = target.long().unsqueeze(1)
            target = torch.zeros_like(logits).scatter_(1, own, 1)
        target = target.to(logits.dtype)
        with torch.no_grad():
            norm = logits.sigmoid().sub_(target).abs_()
            weight = self._count_and_weight(norm)
        return F.binary_cross_entropy_with_logits(
            logits, target, weight, reduction='none'
        ).sum(dim=1)

    def _count_and_weight(self, norm: Tensor) -> Tensor:
        """Count the pairs' gradient norms, then look up their weights."""
        region = (norm * self.bins).clamp_(max=self.bins - 1)
        # A NaN goes to a bin of its own, which is not counted.
        region = region.nan_to_num_(nan=self.bins).int().flatten()
        counts = torch.bincount(region, minlength=self.bins + 1)
        counts = sum_over_ranks(counts)[: self.bins]
        weights = F.pad(self._pair_weights(counts), (0, 1))
        return weights.index_select(0, region).view_as(norm)

    def _pair_weights(self, counts: Tensor) -> Tensor:
        """Weight of each bin's pairs, and the update of the average."""
        occupied = counts > 0
        smooth = torch.where(
            occupied,
            self.momentum * self.smooth_counts + (1 - self.momentum) * counts,
            self.smooth_counts,
        )
        if self.training:
            self.smooth_counts.copy_(smooth)
        total, num_occupied = counts.sum(), occupied.sum()
        weights = total / smooth.clamp(min=1e-12) / num_occupied.clamp(min=1)
        if self.normalize == 'pairs':
            weights = weights / self.num_classes
        return torch.where(occupied, weights, 0.0)
