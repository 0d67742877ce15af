"""GHM-C: gradient harmonising over all categories together."""

from typing import Any, Callable, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.compiling import is_compiling
from mmghm.utils.validation import check_choice, check_integer, check_number

from .base import LongTailLoss
from .input_checks import is_readable
from .ops import graph_is_kept, refuse_second_derivative


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
        num_classes (int): C, the number of classes.
        bins (int): Regions, at least 1.
        momentum (float): Share of the past in the moving average, in [0, 1);
            0 takes each batch's own counts.
        normalize (str): ``'pairs'`` divides the sum by B * C, as mmdetection's
            code does; ``'samples'`` by B, which keeps the gradient independent
            of the number of classes.
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
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_integer('bins', bins, minimum=1)
        check_number('momentum', momentum, minimum=0)
        if momentum >= 1:
            raise ValueError(f'momentum must be in [0, 1), got {momentum}')
        check_choice('normalize', normalize, ('pairs', 'samples'))
        super().__init__(num_classes, reduction, loss_weight)
        self.bins = bins
        self.momentum = momentum
        self.normalize = normalize
        self.register_state('smooth_counts', torch.zeros(bins))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tensor: float32 (B,): the sum over the classes, divided by C under
            ``'pairs'``.
        """
        if target.dim() == 1 and not is_compiling():
            return _HarmonisedBinaryCrossEntropy.apply(
                logits, target.long(), self._count_and_weigh
            )
        logits = logits.float()
        if target.dim() == 1:
            target = F.one_hot(target.long(), self.num_classes)
        target = target.to(logits.dtype)
        with torch.no_grad():
            weight = self._count_and_weigh((logits.sigmoid() - target).abs())
        losses = F.binary_cross_entropy_with_logits(
            logits, target, weight, reduction='none'
        )
        return losses.sum(dim=1)

    def _count_and_weigh(self, norm: Tensor) -> Tensor:
        """Count the pairs' gradient norms, then look up their weights."""
        # The last bin holds 1 as well; a NaN goes to one that is not counted.
        region = (norm * self.bins).nan_to_num_(nan=self.bins + 1.0)
        index = region.to(torch.int32).view(-1)
        if is_readable(index):
            counts = torch.bincount(index, minlength=self.bins + 2)
        else:
            # bincount would wait for the device to tell the largest index.
            counts = torch.zeros(
                self.bins + 2, dtype=torch.int64, device=index.device
            )
            counts.scatter_add_(
                0, index.long(), torch.ones_like(index, dtype=torch.int64)
            )
        counts[self.bins - 1] += counts[self.bins]
        counts = counts[: self.bins]
        all_reduce(counts)
        weights = self._pair_weights(counts)
        weights = torch.cat([weights, weights[-1:], weights.new_zeros(1)])
        return weights.index_select(0, index).view_as(norm)

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


class _HarmonisedBinaryCrossEntropy(torch.autograd.Function):
    """Weighted binary cross-entropies of labels, summed over the classes.

    The gradient norm is what is counted, and half of the gradient: to compute
    it once saves a third of the passes over B x C.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        weigh: Callable[[Tensor], Tensor],
    ) -> Tensor:
        own = target.unsqueeze(1)
        # With the target's logit negated g = |sigmoid(z) - t| = sigmoid(z)
        # and the cross-entropy is softplus(z) for all pairs alike.
        signed = logits.to(torch.float32, copy=True)
        signed.scatter_(1, own, -signed.gather(1, own))
        norm = signed.sigmoid()
        weight = weigh(norm)
        losses = torch.linalg.vecdot(F.softplus(signed), weight)
        ctx.save_for_backward(norm.mul_(weight), own)
        ctx.dtype = logits.dtype
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:
        refuse_second_derivative()
        gradient, own = ctx.saved_tensors
        gradient = gradient.clone() if graph_is_kept() else gradient
        gradient.mul_(grad.unsqueeze(1))
        gradient.scatter_(1, own, -gradient.gather(1, own))
        return gradient.to(ctx.dtype), None, None
