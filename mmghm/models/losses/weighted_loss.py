"""Losses whose examples weigh by their class, and cross-entropy with them."""

from typing import Any, Optional, Tuple

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.validation import check_choice, check_number

from .base import ClassCountLoss
from .functional.class_weights import WEIGHTINGS, class_weights
from .input_checks import Counts
from .ops import adjusted_cross_entropy

NORMALIZERS = ('examples', 'weights')


class ClassWeightedLoss(ClassCountLoss):
    """Base of the losses that can weigh each example by its class.

    By itself it is cross-entropy. A subclass may change
    :meth:`hard_target_losses` and :meth:`class_losses`.

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
        class_counts (Optional[Counts]): See :class:`ClassCountLoss`.
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
        class_counts: Optional[Counts] = None,
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
        self._class_weights = CachedFunction(class_weights)

    @property
    def class_weights(self) -> Tensor:
        """Weight of each class as applied now, float32 (C,), sum C."""
        weighting = self.weighting if self.weights_active else 'none'
        return self._class_weights(self.class_counts, weighting, self.beta)

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the loss of each example, and the weight of its class.

        For shares it is the expected loss over the classes, each with its
        weight.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tuple[Tensor, Optional[Tensor]]: float32 (B,) each.
        """
        if self.weighting == 'none' or not self.weights_active:
            return super().weighted_losses(logits, target)
        if target.dim() == 1:
            weights = self.class_weights[target.long()]
            losses = self.example_losses(logits, target)
            if self.normalize == 'weights':
                weights = weights * (len(losses) / weights.sum())
            return losses, weights
        target = target * self.class_weights
        losses = self.example_losses(logits, target)
        if self.normalize == 'weights':
            losses = losses * (len(losses) / target.sum())
        return losses, None

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the cross-entropy of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        return adjusted_cross_entropy(logits, target)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the cross-entropy toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return -logits.log_softmax(dim=1)


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

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior of the weighted examples.

        Args:
            class_counts (Tensor): n, training examples per class, (C,).

        Returns:
            Optional[Tensor]: n times the class weights, float64 (C,).
        """
        weights = class_weights(class_counts, self.weighting, self.beta)
        return weights.double() * class_counts.clamp(min=1)


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

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the focal loss of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        return focal(super().hard_target_losses(logits, target), self.gamma)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the focal loss toward each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        return focal(super().class_losses(logits), self.gamma)


def focal(losses: Tensor, gamma: float) -> Tensor:
    """Multiply cross-entropies by ``(1 - p_y) ** gamma``.

    Args:
        losses (Tensor): Cross-entropies ``-log p_y``, any shape.
        gamma (float): Focusing, at least 0.

    Returns:
        Tensor: The same shape.
    """
    # p - 1 without cancellation.
    log_p = losses.neg()
    below = torch.expm1(log_p)
    if gamma == 1:
        # Both signs cancel; the usual gamma, by two steps of autograd less.
        return below * log_p
    missed = below.neg()
    if gamma < 1:
        # Kept off 0, where such a power has no slope.
        missed = missed.clamp(min=1e-12)
    return missed**gamma * losses
