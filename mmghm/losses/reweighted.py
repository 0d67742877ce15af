"""Losses that weight an example by its class, and cross-entropy with them."""

from typing import Any, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.errors import UserError
from mmghm.utils.validation import check_choice, check_number

from .base import ClassCountLoss
from .functional import WEIGHTINGS, class_weights
from .input_checks import Counts

NORMALIZERS = ('examples', 'weights')


class ClassWeightedLoss(ClassCountLoss):
    """Base of the losses that can weight each example by its class.

    It has the methods of cross-entropy; a subclass may change
    :meth:`hard_target_losses` and :meth:`class_losses`.

    Args:
        num_classes (int): C, the number of classes.
        weighting (str): ``'none'``, ``'inverse'`` or ``'effective_number'``,
            see :func:`.functional.class_weights`.
        beta (float): Of the effective number, in [0, 1).
        normalize (str): What a batch's sum of weighted losses is divided by
            under ``reduction='mean'``: ``'examples'``, their number, as Cui et
            al. 2019 do; or ``'weights'``, the sum of their weights, as torch's
            ``F.cross_entropy(weight=...)`` and LDAM-DRW's code do (another
            effective learning rate, and on several ranks each rank's own sum).
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    class_weights: Tensor

    def __init__(
        self,
        num_classes: int,
        weighting: str = 'none',
        beta: float = 0.9999,
        normalize: str = 'examples',
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_choice('weighting', weighting, WEIGHTINGS)
        check_choice('normalize', normalize, NORMALIZERS)
        check_number('beta', beta, minimum=0)
        if beta >= 1:
            raise UserError(f'beta must be in [0, 1), got {beta}')
        self.weighting = weighting
        self.needs_class_counts = weighting != 'none'
        self.beta = beta
        self.normalize = normalize
        # Whether the class weights act; DeferredReweightingHook switches it.
        self.weights_active = True

    def count_tables(self, class_counts: Tensor) -> Dict[str, Tensor]:
        """Weight of each class."""
        weights = class_weights(class_counts, self.weighting, self.beta)
        return dict(class_weights=weights)

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the loss of each example, and the weight of its class.

        For soft targets it is the expected loss over the classes, each with
        its weight.
        """
        if self.weighting == 'none' or not self.weights_active:
            return super().weighted_losses(logits, target)
        weights = self.target_weights(target)
        if target.dim() == 1:
            return self.example_losses(logits, target), weights
        return self.example_losses(logits, weights), None

    def target_weights(self, target: Tensor) -> Tensor:
        """Weights of the labels, (B,), or of soft targets, (B, C)."""
        if target.dim() == 1:
            return self.class_weights[target.long()]
        return target * self.class_weights

    def mean_factor(self, target: Tensor) -> Any:
        """The number of examples over the sum of their weights."""
        if (
            self.normalize == 'examples'
            or self.weighting == 'none'
            or not self.weights_active
        ):
            return super().mean_factor(target)
        return len(target) / self.target_weights(target).sum()

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy with the label."""
        return F.cross_entropy(logits, target, reduction='none')

    def class_losses(self, logits: Tensor) -> Tensor:
        """Cross-entropy with each class."""
        return -logits.log_softmax(dim=1)


class ReweightedCrossEntropyLoss(ClassWeightedLoss):
    """Softmax cross-entropy with class weights.

    ``weighting='inverse'`` is the paper's row "Class Balanced",
    ``'effective_number'`` its row "Effective Number" (Cui et al. 2019).

    Args:
        num_classes (int): C, the number of classes.
        weighting (str): See :class:`ClassWeightedLoss`.
        class_counts (Optional[Counts]): See
            :meth:`ClassCountLoss.init_class_counts`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.

    Examples:
        >>> import torch
        >>> from mmghm.losses import ReweightedCrossEntropyLoss
        >>> loss = ReweightedCrossEntropyLoss(3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        weighting: str = 'effective_number',
        class_counts: Optional[Counts] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, weighting, **kwargs)
        self.init_class_counts(class_counts)

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior of the weighted examples, n times the class weights."""
        weights = class_weights(class_counts, self.weighting, self.beta)
        return weights.double() * class_counts.clamp(min=1)


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
        class_counts (Optional[Counts]): See
            :meth:`ClassCountLoss.init_class_counts`.
        **kwargs (Any): Further arguments of :class:`ClassWeightedLoss`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import SoftmaxFocalLoss
        >>> loss = SoftmaxFocalLoss(3)
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        gamma: float = 1.0,
        weighting: str = 'none',
        class_counts: Optional[Counts] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, weighting, **kwargs)
        check_number('gamma', gamma, minimum=0)
        self.gamma = gamma
        self.init_class_counts(class_counts)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Focal loss with the label."""
        return focal(super().hard_target_losses(logits, target), self.gamma)

    def class_losses(self, logits: Tensor) -> Tensor:
        """Focal loss with each class."""
        return focal(super().class_losses(logits), self.gamma)


def focal(losses: Tensor, gamma: float) -> Tensor:
    """Multiply cross-entropies by ``(1 - p_y) ** gamma``.

    Args:
        losses (Tensor): Cross-entropies ``-log p_y``, any shape.
        gamma (float): Focusing, at least 0.

    Returns:
        Tensor: The same shape.
    """
    # 1 - p without cancellation.
    missed = -torch.expm1(-losses)
    if gamma < 1:
        # Kept off 0, where such a power has no slope.
        missed = missed.clamp(min=1e-12)
    return missed**gamma * losses
