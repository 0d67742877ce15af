"""Seesaw loss: mitigation by class sizes, compensation by scores."""

import math
from typing import Tuple

import torch
from mmengine.dist import all_reduce
from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.validation import check_number

from .base import LongTailLoss
from .functional.margin import add_margin, log_sizes
from .input_checks import require
from .ops import transformed_cross_entropy


def seesaw_logits(
    logits: Tensor,
    target: Tensor,
    logit_bias: Tensor,
    target_bias: Tensor,
    q: float,
    eps: float = 1e-2,
) -> Tensor:
    """Add Seesaw's two factors to the logits as margins.

    Up to a constant of the example, which softmax cancels.

    Rival j of an example of class i gets
    ``p * log(min(1, N_j / N_i)) + q * log(max(1, s_j / max(s_i, eps)))``
    (Wang et al. 2021, eq. 4 to 6), with the scores s of the raw logits.

    Args:
        logits (Tensor): z, shape (B, C), any floating dtype.
        target (Tensor): Class indices, shape (B,).
        logit_bias (Tensor): Of :func:`size_terms`, shape (C,).
        target_bias (Tensor): Of :func:`size_terms`, shape (C,).
        q (float): Strength of the compensation.
        eps (float): Lower bound of s_i.

    Returns:
        Tensor: float32 (B, C).
    """
    adjusted = add_margin(logits, target, logit_bias, target_bias)
    if not q:
        return adjusted
    with torch.no_grad():
        logits = logits.float()
        # Of the largest logit, whose score does not underflow.
        score = logits.softmax(1).amax(1, keepdim=True)
        normaliser = logits.amax(1, keepdim=True) - score.log_()
        # log(s_j / max(s_i, eps)) = z_j - max(z_i, normaliser + log(eps))
        threshold = torch.maximum(
            logits.gather(1, target.unsqueeze(1)), normaliser + math.log(eps)
        )
        # max(0, z - threshold) up to a constant of the example.
        excess = torch.maximum(logits, threshold)
    return torch.add(adjusted, excess, alpha=q)


def size_terms(seen: Tensor, p: float) -> Tuple[Tensor, Tensor]:
    """Prepare the mitigation by class sizes.

    Args:
        seen (Tensor): N, examples of each class so far, int64 (C,).
        p (float): Strength.

    Returns:
        Tuple[Tensor, Tensor]: As :func:`log_sizes`; a class not seen yet
        counts as one with a single example.
    """
    return log_sizes(seen.clamp(min=1).float(), p)


# Mixup and CutMix mix two images.
MIXED_CLASSES = 2


@MODELS.register_module()
class SeesawCrossEntropyLoss(LongTailLoss):
    """Seesaw loss (Wang et al. 2021) without loops and C x C matrices.

    Equals mmpretrain's ``SeesawLoss`` on one process. Beyond it, examples are
    counted in training mode only and over all ranks, and soft targets work.

    State: ``seen``, int64 (C,), examples of each class so far on all ranks.

    Args:
        num_classes (int): C, the number of classes.
        p (float): Strength of the mitigation, at least 0.
        q (float): Strength of the compensation, at least 0.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    seen: Tensor

    def __init__(
        self,
        num_classes: int,
        p: float = 0.8,
        q: float = 2.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_number('p', p, minimum=0)
        check_number('q', q, minimum=0)
        super().__init__(num_classes, reduction, loss_weight)
        self.p = p
        self.q = q
        self.register_state('seen', torch.zeros(num_classes, dtype=torch.int64))
        self._size_terms = CachedFunction(size_terms)

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the batch, then compute the loss of each example.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked; a mixed
                example counts for its largest share.

        Returns:
            Tensor: float32 (B,).
        """
        if self.training:
            label = target if target.dim() == 1 else target.argmax(dim=1)
            batch = torch.zeros_like(self.seen)
            label = label.long()
            batch.scatter_add_(0, label, torch.ones_like(label))
            all_reduce(batch)
            self.seen.add_(batch)
        if target.dim() == 1:
            return self.hard_target_losses(logits, target.long())
        # Compensation compares every rival with the target, C x C for all
        # classes of one example: two classes are what mixing makes.
        shares, classes = target.topk(min(MIXED_CLASSES, self.num_classes))
        others = target.scatter(1, classes, 0)
        require(
            others == 0,
            others,
            f'{type(self).__name__}: target may mix at most {MIXED_CLASSES} '
            'classes an example, the share of a further one must be 0',
        )
        losses = self.hard_target_losses(
            logits.repeat(classes.size(1), 1), classes.t().flatten()
        )
        return (losses.view_as(classes.t()).t() * shares).sum(dim=1)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """

        def add(logits: Tensor, target: Tensor) -> Tensor:
            return seesaw_logits(
                logits, target, logit_bias, target_bias, self.q
            )

        logit_bias, target_bias = self._size_terms(self.seen, self.p)
        return transformed_cross_entropy(logits, target, add)
