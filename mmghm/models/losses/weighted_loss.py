"""Losses whose examples weigh by their class, and cross-entropy with them."""

from typing import Any, Optional, Tuple

import torch
from mmengine.registry import MODELS
from torch import Tensor

from ..utils.cached_terms import CachedTerms
from .base import Counts, check_choice, check_number
from .class_weights import WEIGHTINGS, class_weights
from .softmax_loss import SoftmaxLoss

NORMALIZERS = ('examples', 'weights')


class ClassWeightedLoss(SoftmaxLoss):
    """Base of the losses that can weigh each example by its class.

    A subclass may change :meth:`SoftmaxLoss.adjust` and :meth:`focus`, and
    then implements :meth:`LongTailLoss.class_losses` for soft targets.

    Args:
        num_classes (int): C, the number of classes.
        weighting (str): ``'none'``, ``'inverse'`` or ``'effective_number'``,
            see :func:`class_weights`.
        beta (float): Of the effective number, in [0, 1).
        normalize (str): What a batch's sum of weighted losses is divided by
            under ``reduction='mean'``: ``'examples'``, their number, as Cui et
            al. 2019 do; or ``'weights'``, the sum of their weights, as torch's
            ``F.cross_entropy(weight=...)`` and LDAM-DRW's code do (another
            effective learning rate, and on several ranks each rank's own sum).
        class_counts (Optional[Counts]): See :class:`LongTailLoss`.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        weighting: str = 'none',
        beta: float = 0.9999,
        normalize: str = 'examples',
        class_counts: Optional[Counts] = 'auto',
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        check_choice('weighting', weighting, WEIGHTINGS)
        check_choice('normalize', normalize, NORMALIZERS)
        check_number('beta', beta, minimum=0)
        if beta >= 1:
            raise ValueError(f'beta must be in [0, 1), got {beta}')
        super().__init__(num_classes, class_counts, reduction, loss_weight)
        self.weighting = weighting
        self.needs_class_counts = weighting != 'none'
        self.beta = beta
        self.normalize = normalize
        # Whether the class weights act; DeferredReweightingHook switches it.
        self.weights_active = True
        self._class_weights = CachedTerms(class_weights)

    @property
    def class_weights(self) -> Tensor:
        """Weight of each class as applied now, float32 (C,), sum C."""
        weighting = self.weighting if self.weights_active else 'none'
        return self._class_weights(self.class_counts, weighting, self.beta)

    def weigh(
        self, losses: Tensor, logits: Tensor, target: Tensor
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Focus each example's cross-entropy and weigh it by its class.

        Args:
            losses (Tensor): Cross-entropies, float32 (B,).
            logits (Tensor): Not used.
            target (Tensor): Class indices, int64 (B,).

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: See
            :meth:`SoftmaxLoss.weigh`.
        """
        values, factor = self.focus(losses)
        if self.weighting == 'none' or not self.weights_active:
            return values, factor
        applied = self.class_weights[target]
        if self.normalize == 'weights':
            applied = applied * (len(applied) / applied.sum())
        if values is None:
            return None, applied
        return values * applied, factor * applied

    def focus(self, losses: Tensor) -> Tuple[Any, Any]:
        """Make each example's loss of its cross-entropy, without weights.

        Args:
            losses (Tensor): Cross-entropies, any shape.

        Returns:
            Tuple[Any, Any]: Losses and their derivatives by the
            cross-entropies; None and None for the cross-entropies themselves.
        """
        return None, None

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute each example's loss times the weight of its class.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tensor: Shape (B,).
        """
        inactive = self.weighting == 'none' or not self.weights_active
        if target.dim() == 1 or inactive:
            return super().example_losses(logits, target)
        # The expected loss over the classes, each with its weight.
        target = target * self.class_weights
        losses = super().example_losses(logits, target)
        if self.normalize == 'weights':
            losses = losses * (len(losses) / target.sum())
        return losses

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the loss toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        losses = -logits.log_softmax(dim=1)
        values, _ = self.focus(losses)
        return losses if values is None else values


@MODELS.register_module()
class ReweightedCrossEntropyLoss(ClassWeightedLoss):
    """Softmax cross-entropy with class weights.

    ``weighting='inverse'`` is the paper's row "Class Balanced",
    ``'effective_number'`` its row "Effective Number" (Cui et al. 2019).

    Args:
        num_classes (int): C, the number of classes.
        weighting (str): See :class:`ClassWeightedLoss`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.
    """

    def __init__(
        self,
        num_classes: int,
        weighting: str = 'effective_number',
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, weighting, **kwargs)


@MODELS.register_module()
class SoftmaxFocalLoss(ClassWeightedLoss):
    """Focal loss on softmax probabilities, ``(1 - p_y) ** gamma * CE``.

    Lin et al. 2017 define it for a sigmoid; this form, with gamma 1, is the
    one of the long-tailed CIFAR literature (Cao et al. 2019). With
    ``weighting='effective_number'`` it is class-balanced focal; p is always
    that of the unweighted logits.

    Args:
        num_classes (int): C, the number of classes.
        gamma (float): Focusing, at least 0; 0 is cross-entropy.
        weighting (str): See :class:`ClassWeightedLoss`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        gamma: float = 1.0,
        weighting: str = 'none',
        **kwargs: Any,
    ) -> None:
        check_number('gamma', gamma, minimum=0)
        super().__init__(num_classes, weighting, **kwargs)
        self.gamma = gamma

    def focus(self, losses: Tensor) -> Tuple[Any, Any]:
        """Multiply each cross-entropy L by ``(1 - p_y) ** gamma``.

        Args:
            losses (Tensor): Cross-entropies, any shape.

        Returns:
            Tuple[Any, Any]: Focal losses and their derivatives by the
            cross-entropies.
        """
        # 1 - p by expm1, kept off 0, where a power below 1 has no slope.
        missed = (-torch.expm1(-losses)).clamp(min=1e-12)
        power = missed**self.gamma
        slope = power + self.gamma * power / missed * (1 - missed) * losses
        return power * losses, slope
