"""GHM-C: gradient harmonising over all categories together."""

from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor

from .base import (
    Counts,
    LongTailLoss,
    check_choice,
    check_integer,
    check_number,
)
from .gradient_histogram import equal_edges, find_region


@MODELS.register_module()
class GHMCrossEntropyLoss(LongTailLoss):
    """Gradient harmonised binary cross-entropy (Li et al. 2019, eq. 9 and 10).

    The gradient norm of each (example, class) pair, ``|sigmoid(z) - t|``, is
    counted in ``bins`` regions of equal width; a pair weighs
    ``pairs / count / occupied bins``. This is the form for detection, which
    the paper's row "GHM" takes as it is.

    State: ``smooth_counts``, float32 (bins,), moving average of the counts of
    all ranks in bins that were occupied; changed in training mode.

    Args:
        num_classes (int): C.
        bins (int): Regions, at least 1.
        momentum (float): Share of the past in the moving average, in [0, 1);
            0 takes each batch's own counts.
        normalize (str): ``'pairs'`` divides the sum by B * C, as mmdetection's
            code does; ``'samples'`` by B, which keeps the gradient independent
            of the number of classes.
        class_counts (Optional[Counts]): Not used.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    smooth_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        bins: int = 30,
        momentum: float = 0.75,
        normalize: str = 'pairs',
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_integer('bins', bins, minimum=1)
        check_number('momentum', momentum, minimum=0)
        if momentum >= 1:
            raise ValueError(f'momentum must be in [0, 1), got {momentum}')
        check_choice('normalize', normalize, ('pairs', 'samples'))
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.bins = bins
        self.momentum = momentum
        self.normalize = normalize
        self.register_state('smooth_counts', torch.zeros(bins))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tensor: Shape (B,): the sum over the classes, divided by C under
            ``'pairs'``.
        """
        if target.dim() == 1:
            target = F.one_hot(target.long(), self.num_classes)
        target = target.to(logits.dtype)
        with torch.no_grad():
            norm = (logits.sigmoid() - target).abs()
            edges = equal_edges(self.bins).to(norm.device)
            region = find_region(norm, edges)
            counts = torch.zeros_like(self.smooth_counts, dtype=torch.int64)
            counts.scatter_add_(
                0, region.flatten(), norm.isfinite().flatten().long()
            )
            all_reduce(counts)
            weight = self._pair_weights(counts)[region]
        losses = F.binary_cross_entropy_with_logits(
            logits, target, weight, reduction='none'
        )
        divisor = self.num_classes if self.normalize == 'pairs' else 1
        return losses.sum(dim=1) / divisor

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
        return torch.where(occupied, weights, 0.0)
