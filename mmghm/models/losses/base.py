"""What every loss for long-tailed data shares."""

from typing import Any, Dict, Optional, Tuple, Union

import torch
from torch import Tensor

from mmghm.utils.checkpointed_state import CheckpointedState
from mmghm.utils.validation import check_choice, check_integer, check_number

from .input_checks import (
    Counts,
    check_labels,
    check_shares,
    describe,
    parse_counts,
    require,
)

REDUCTIONS = ('none', 'mean', 'sum')


class LongTailLoss(CheckpointedState):
    """Base of the losses: input checks, float32, reduction.

    A subclass implements :meth:`hard_target_losses` and :meth:`class_losses`.

    Args:
        num_classes (int): C, at least 1.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_integer('num_classes', num_classes, minimum=1)
        check_choice('reduction', reduction, REDUCTIONS)
        check_number('loss_weight', loss_weight, minimum=0)
        self.num_classes = num_classes
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        cls_score: Tensor,
        target: Tensor,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[Union[int, float]] = None,
        reduction_override: Optional[str] = None,
    ) -> Tensor:
        """Compute the loss as mmpretrain's heads ask for it.

        Args:
            cls_score (Tensor): Logits, shape (B, C), any floating dtype.
            target (Tensor): Class indices, int64 (B,), or shares of the
                classes as Mixup and CutMix make them, floating (B, C).
            weight (Optional[Tensor]): Factor of each example, shape (B,).
            avg_factor (Optional[Union[int, float]]): Divisor of the sum instead of
                B under ``'mean'``.
            reduction_override (Optional[str]): Reduction of this call.

        Returns:
            Tensor: A float32 scalar, or shape (B,) without reduction.

        Raises:
            TypeError: If cls_score or target is no tensor of a fitting dtype.
            ValueError: If a shape, a label, a weight, the divisor or the
                reduction is out of range.
        """
        reduction = reduction_override or self.reduction
        check_choice('reduction_override', reduction, REDUCTIONS)
        self._check_inputs(cls_score, target, weight)
        if avg_factor is not None:
            if reduction == 'sum':
                raise ValueError("avg_factor goes with reduction='mean' only")
            check_number('avg_factor', avg_factor, minimum=0, open_minimum=True)
        losses, weights = self.weighted_losses(cls_score, target)
        if weight is not None:
            weight = weight.to(losses.dtype)
            weights = weight if weights is None else weights * weight
        reduced = _reduce(losses, weights, reduction, avg_factor)
        return reduced if self.loss_weight == 1 else reduced * self.loss_weight

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the loss of each example, and its weight.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tuple[Tensor, Optional[Tensor]]: Both float32 (B,), the weights
            without a gradient; None for weights of 1.
        """
        return self.example_losses(logits, target), None

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example.

        For shares it is the expected loss over the classes.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tensor: float32 (B,).
        """
        if target.dim() == 1:
            return self.hard_target_losses(logits, target.long())
        return (self.class_losses(logits.float()) * target).sum(dim=1)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example with a label.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,).

        Returns:
            Tensor: float32 (B,).
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not define hard_target_losses'
        )

    def class_losses(self, logits: Tensor) -> Tensor:
        """Compute the loss that each example would have with each class.

        Args:
            logits (Tensor): z, float32 (B, C).

        Returns:
            Tensor: Shape (B, C).
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not define class_losses'
        )

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that the softmax of the logits is trained toward.

        Under this prior the predictions need no re-weighing, see
        :func:`mmghm.evaluation.priors.reweigh`.

        Args:
            class_counts (Tensor): n, training examples per class, (C,).

        Returns:
            Optional[Tensor]: Proportional to the prior, float64 (C,),
            positive; None if the loss's formula does not say.
        """
        return None

    def _check_inputs(
        self, cls_score: Tensor, target: Tensor, weight: Optional[Tensor]
    ) -> None:
        if not torch.is_tensor(cls_score) or not cls_score.is_floating_point():
            raise TypeError(
                f'cls_score must be a floating tensor, got {describe(cls_score)}'
            )
        if cls_score.dim() != 2 or cls_score.size(1) != self.num_classes:
            raise ValueError(
                f'cls_score must have shape (B, num_classes={self.num_classes}'
                f'), got {tuple(cls_score.shape)}; set num_classes of the '
                f'{type(self).__name__} to the width of the head'
            )
        if not torch.is_tensor(target):
            raise TypeError(f'target must be a tensor, got {describe(target)}')
        batch = (cls_score.size(0),)
        if target.shape == batch:
            if target.is_floating_point() or target.dtype == torch.bool:
                raise TypeError(
                    'target of shape (B,) must hold integer class '
                    f'indices, got {describe(target)}'
                )
            check_labels(target, self.num_classes, type(self).__name__)
        elif target.shape == cls_score.shape:
            if not target.is_floating_point():
                raise TypeError(
                    'target of shape (B, C) must hold floating '
                    f'shares of the classes, got {describe(target)}'
                )
            check_shares(target, type(self).__name__)
        else:
            raise ValueError(
                f'target must have shape {batch} (class indices) or '
                f'{tuple(cls_score.shape)} (shares), got '
                f'{tuple(target.shape)}'
            )
        if weight is not None and weight.shape != batch:
            raise ValueError(
                f'weight must have shape {batch}, got {tuple(weight.shape)}'
            )
        if weight is not None:
            require(weight.isfinite(), weight, 'weight must be finite')

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        return (
            f'num_classes={self.num_classes}, '
            f'reduction={self.reduction!r}, '
            f'loss_weight={self.loss_weight}'
        )


def _reduce(
    losses: Tensor,
    weights: Optional[Tensor],
    reduction: str,
    avg_factor: Optional[Union[int, float]],
) -> Tensor:
    if reduction == 'none':
        return losses if weights is None else losses * weights
    # The mean of nothing would be NaN, and every weight after it.
    averages = reduction == 'mean' and len(losses) > 0
    divisor = (avg_factor or len(losses)) if averages else 1
    if weights is None:
        mean = divisor == len(losses)
        return losses.mean() if mean else losses.sum() / divisor
    # One step of autograd; a product and a mean would be two.
    return torch.dot(losses, weights / divisor)


class ClassCountLoss(LongTailLoss):
    """Base of the losses that use the number of training examples per class.

    State (see :class:`CheckpointedState`): ``class_counts``, int64 (C,), all 0
    while unknown; set once, the same on every rank.

    Args:
        num_classes (int): C, at least 1.
        class_counts (Optional[Counts]): Training examples per class: C
            integers, or the path of a file with one integer a line. None
            leaves it to a hook (``ClassCountsHook`` or ``AURARebinHook``),
            which reads the train dataset.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    class_counts: Tensor
    # Whether the loss cannot be computed without class counts.
    needs_class_counts = False

    def __init__(
        self,
        num_classes: int,
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        self.register_state(
            'class_counts', torch.zeros(num_classes, dtype=torch.int64)
        )
        # Beside the tensor: to read it would make forward wait for the device.
        self._num_examples = 0
        if class_counts is not None:
            self.set_class_counts(class_counts)

    def set_class_counts(self, counts: Counts) -> None:
        """Tell the loss how many training examples each class has.

        Args:
            counts (Counts): C non-negative integers, or the path of a file
                with one a line.

        Raises:
            TypeError: If the counts are not integers.
            ValueError: If there are not C counts, one is negative or all
                are 0.
        """
        self.class_counts.copy_(parse_counts(counts, self.num_classes))
        self._num_examples = int(self.class_counts.sum())

    @property
    def has_class_counts(self) -> bool:
        """Whether class counts are known."""
        return self._num_examples > 0

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute the loss, see :meth:`LongTailLoss.forward`.

        Args:
            *args (Any): Of :meth:`LongTailLoss.forward`.
            **kwargs (Any): The same.

        Returns:
            Tensor: A float32 scalar, or shape (B,) without reduction.

        Raises:
            ValueError: If class counts are needed and missing.
        """
        if self.needs_class_counts and not self.has_class_counts:
            raise ValueError(
                f'{type(self).__name__} needs the training examples per class: '
                "add dict(type='ClassCountsHook') to custom_hooks, or give "
                'class_counts=[...]'
            )
        return super().forward(*args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._num_examples = int(self.class_counts.sum())
