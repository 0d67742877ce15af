"""Losses that are a function of the cross-entropy of adjusted logits."""

from typing import Optional, Tuple

import torch
from torch import Tensor

from ..utils.compiling import is_compiling
from . import fused
from .base import LongTailLoss
from .cross_entropy import (
    KnownGradient,
    complete_gradient,
    cross_entropy_and_softmax,
    plain_cross_entropy,
)
from .margin import add_margin


class SoftmaxLoss(LongTailLoss):
    """Base of the losses ``f(CE(adjusted z, y))``.

    For labels the gradient is computed along with the loss, in the buffer of
    the softmax, or on a GPU by Triton's kernels. A subclass changes
    :meth:`margin` or :meth:`adjust` and :meth:`weigh`, and implements
    :meth:`LongTailLoss.class_losses` for soft targets.
    """

    # Derivative of the adjusted logits by the logits.
    slope = 1.0

    def margin(self) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """What :func:`add_margin` adds to the logits.

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: Of :func:`margin_terms`.
        """
        return None, None

    def adjust(self, logits: Tensor, target: Tensor) -> Tensor:
        """Change the logits before the softmax is taken.

        What is added must not depend on the logits' gradient. Called for some
        rows of the batch at a time. A loss that overrides it is not fused.

        Args:
            logits (Tensor): z, shape (rows, C), any floating dtype.
            target (Tensor): Class indices, int64 (rows,).

        Returns:
            Tensor: float32 (rows, C).
        """
        return add_margin(logits, target, *self.margin())

    def weigh(
        self, losses: Tensor, logits: Tensor, target: Tensor
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Make the examples' losses of their cross-entropies.

        Args:
            losses (Tensor): Cross-entropies, float32 (B,).
            logits (Tensor): z, shape (B, C).
            target (Tensor): Class indices, int64 (B,).

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: Losses and their
            derivatives by the cross-entropies, shape (B,) both. Without the
            former the derivatives are constant factors, without both 1.
        """
        return None, None

    def reduced_loss(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Optional[Tensor],
        scale: Optional[float],
    ) -> Tensor:
        """Compute the loss of a batch, see :class:`LongTailLoss`.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.
            weight (Optional[Tensor]): Factor of each example, shape (B,).
            scale (Optional[float]): Factor of the sum; None for no reduction.

        Returns:
            Tensor: float32, a scalar or shape (B,).
        """
        if target.dim() == 2 or is_compiling():
            return super().reduced_loss(logits, target, weight, scale)
        target = target.long()
        fuses = self._fuses(logits)
        needs_gradient = torch.is_grad_enabled() and logits.requires_grad
        with torch.no_grad():
            if fuses:
                margin = self.margin()
                losses, statistics, values, factor = self._fused_losses(
                    logits, target, *margin
                )
            else:
                losses, softmax = cross_entropy_and_softmax(
                    logits, target, self.adjust
                )
                values, factor = self.weigh(losses, logits, target)
            applied = self.loss_weight if scale is None else scale
            if factor is None:
                factor = torch.full_like(losses, applied)
            else:
                factor = factor * applied
            if weight is not None:
                factor = factor * weight
            if values is None:
                # No matmul, which autocast would round.
                total = losses * factor if scale is None else losses.dot(factor)
            else:
                total = values * applied
                if weight is not None:
                    total = total * weight
                total = total if scale is None else total.sum()
            if not needs_gradient:
                return total
            if not fuses:
                if self.slope != 1:
                    factor = factor * self.slope
                gradient = complete_gradient(softmax, target, factor)
        if fuses:
            return fused.FusedGradient.apply(
                logits, total, target, *margin, statistics, factor
            )
        return KnownGradient.apply(logits, total, gradient)

    def _fuses(self, logits: Tensor) -> bool:
        return (
            type(self).adjust is SoftmaxLoss.adjust
            and not is_compiling()
            and fused.is_available(logits)
        )

    def _fused_losses(
        self,
        logits: Tensor,
        target: Tensor,
        rival: Optional[Tensor],
        own: Optional[Tensor],
    ) -> Tuple[Tensor, fused.RowStatistics, Optional[Tensor], Optional[Tensor]]:
        """Cross-entropies, what the gradient needs, and :meth:`weigh`."""
        losses, statistics, _ = fused.cross_entropy(logits, target, rival, own)
        return losses, statistics, *self.weigh(losses, logits, target)

    def _check_labels(self, cls_score: Tensor, target: Tensor) -> None:
        # On a GPU the kernel asserts it.
        if not (cls_score.is_cuda and self._fuses(cls_score)):
            super()._check_labels(cls_score, target)

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example by torch's own operations.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        target = target.long()
        losses = plain_cross_entropy(logits, target, self.adjust)
        values, factor = self.weigh(losses, logits, target)
        if values is not None:
            return values
        return losses if factor is None else losses * factor
