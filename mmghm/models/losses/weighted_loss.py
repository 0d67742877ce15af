"""Losses whose examples weigh by their class, and cross-entropy with them."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from .base import Counts, LongTailLoss, check_choice, check_number
from .class_weights import WEIGHTINGS, class_weights

NORMALIZERS = ('examples', 'weights')


class ClassWeightedLoss(LongTailLoss):
    """Base of the losses that can weigh each example by its class.

    A subclass implements :meth:`LongTailLoss.label_losses`, and may implement
    :meth:`LongTailLoss.class_losses`.

    Args:
        num_classes (int): C.
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

    @property
    def class_weights(self) -> Tensor:
        """Weight of each class as applied now, float32 (C,), sum C."""
        weighting = self.weighting if self.weights_active else 'none'
        return class_weights(self.class_counts, weighting, self.beta)

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute each example's loss times the weight of its class.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tensor: Shape (B,).
        """
        if self.weighting == 'none' or not self.weights_active:
            return super().example_losses(logits, target)
        weights = self.class_weights
        if target.dim() == 1:
            applied = weights[target]
            losses = applied * self.label_losses(logits, target)
        else:
            # The expected loss over the classes, each with its weight.
            target = target * weights
            applied = target.sum(dim=1)
            losses = super().example_losses(logits, target)
        if self.normalize == 'weights':
            losses = losses * (len(losses) / applied.sum())
        return losses


@MODELS.register_module()
class ReweightedCrossEntropyLoss(ClassWeightedLoss):
    """Softmax cross-entropy with class weights.

    ``weighting='inverse'`` is the paper's row "Class Balanced",
    ``'effective_number'`` its row "Effective Number" (Cui et al. 2019).

    Args:
        num_classes (int): C.
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

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute cross-entropy.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        return F.cross_entropy(logits, target, reduction='none')

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute cross-entropy toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return -logits.log_softmax(dim=1)


@MODELS.register_module()
class SoftmaxFocalLoss(ClassWeightedLoss):
    """Focal loss on softmax probabilities, ``(1 - p_y) ** gamma * CE``.

    Lin et al. 2017 define it for a sigmoid; this form, with gamma 1, is the
    one of the long-tailed CIFAR literature (Cao et al. 2019). With
    ``weighting='effective_number'`` it is class-balanced focal; p is always
    that of the unweighted logits.

    Args:
        num_classes (int): C.
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

    def label_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the focal loss.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): int64 (B,).

        Returns:
            Tensor: Shape (B,).
        """
        loss = F.cross_entropy(logits, target, reduction='none')
        return self._focus(loss)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the focal loss toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return self._focus(-logits.log_softmax(dim=1))

    def _focus(self, loss: Tensor) -> Tensor:
        # 1 - p by expm1, kept off 0, where a power below 1 has no slope.
        missed = -torch.expm1(-loss)
        return missed.clamp(min=1e-12) ** self.gamma * loss
