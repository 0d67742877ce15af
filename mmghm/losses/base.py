"""What all losses for long-tailed data have in common."""

import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmghm.utils.errors import UserError
from mmghm.utils.validation import check_choice, check_integer, check_number

from .input_checks import Counts, check_inputs, is_readable, parse_counts

REDUCTIONS = ('none', 'mean', 'sum')


class LongTailLoss(nn.Module):
    """Base of the losses: input checks, float32, state, reduction.

    A subclass implements :meth:`hard_target_losses` and :meth:`class_losses`,
    or :meth:`weighted_losses` as a whole. State lies in buffers that are the
    same on every rank at every moment: what a step adds is summed over the
    ranks first, see :func:`sum_over_ranks`. They keep their dtype under
    ``model.half()``.

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

    def register_state(self) -> None:
        """Make room for :meth:`initial_state`, at a constructor's end."""
        for name, value in self.initial_state().items():
            self.register_buffer(name, value)

    def initial_state(self) -> Dict[str, Tensor]:
        """What training changes and checkpoints keep, as it begins.

        Returns:
            Dict[str, Tensor]: Buffers by name.
        """
        return {}

    def reset_state(self) -> None:
        """Forget what training has counted, as for other data."""
        for name, value in self.initial_state().items():
            getattr(self, name).copy_(value)

    def reset_parameters(self) -> None:
        """Begin again after ``to_empty()``, as torch's modules do."""
        self.reset_state()

    def forward(
        self,
        cls_score: Tensor,
        target: Tensor,
        weight: Optional[Tensor] = None,
        avg_factor: Optional[Union[float, Tensor]] = None,
        reduction_override: Optional[str] = None,
        **unsupported: Any,
    ) -> Tensor:
        """Compute the loss as MMPretrain's heads ask for it.

        Args:
            cls_score (Tensor): Logits, shape (B, C), any floating dtype.
            target (Tensor): Class indices, integers (B,) in [0, C - 1], or
                soft targets as Mixup, CutMix and label smoothing make them:
                floating (B, C), at least 0, rows that sum to 1.
            weight (Optional[Tensor]): Factor of each example, shape (B,).
            avg_factor (Optional[Union[float, Tensor]]): Divisor of the sum
                under ``'mean'`` in place of B: a number above 0, or a tensor
                with one.
            reduction_override (Optional[str]): Reduction of this call.
            **unsupported (Any): Refused, such as ``ignore_index``.

        Returns:
            Tensor: A float32 scalar, or shape (B,) without reduction.

        Raises:
            TypeError: If an argument is of the wrong type or not supported.
            ValueError: If a shape, a label, a weight, the divisor or the
                reduction is out of range.
        """
        owner = type(self).__name__
        if unsupported:
            raise TypeError(
                f'{owner} does not take {", ".join(unsupported)}; leave '
                'ignored examples out of cls_score and target'
            )
        reduction = reduction_override or self.reduction
        check_choice('reduction_override', reduction, REDUCTIONS)
        check_inputs(cls_score, target, weight, self.num_classes, owner)
        if avg_factor is not None:
            if reduction == 'sum':
                raise UserError("avg_factor goes with reduction='mean' only")
            if not torch.is_tensor(avg_factor):
                check_number(
                    'avg_factor', avg_factor, minimum=0, open_minimum=True
                )
            elif avg_factor.numel() != 1:
                raise UserError(
                    'avg_factor must be one number, got the shape '
                    f'{tuple(avg_factor.shape)}'
                )
            elif is_readable(avg_factor) and not avg_factor > 0:
                raise UserError(
                    f'avg_factor must be above 0, got {avg_factor.item()}'
                )
        losses, weights = self.weighted_losses(cls_score.float(), target)
        if weight is not None:
            weight = weight.to(losses.dtype)
            weights = weight if weights is None else weights * weight
        factor: Any = self.loss_weight
        if reduction == 'mean':
            # Without an example the mean would be NaN.
            divisor = max(len(losses), 1) if avg_factor is None else avg_factor
            factor = factor * self.mean_factor(target) / divisor
        if weights is None:
            losses = losses if reduction == 'none' else losses.sum()
            return losses * factor
        weights = weights * factor
        if reduction == 'none':
            return losses * weights
        # One step of autograd; a product and a sum would be two.
        return torch.dot(losses, weights)

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute the loss of each example, and its weight.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): Integers (B,) or floating (B, C), checked.

        Returns:
            Tuple[Tensor, Optional[Tensor]]: Both float32 (B,), the weights
            without a gradient; None for weights of 1.
        """
        return self.example_losses(logits, target), None

    def mean_factor(self, target: Tensor) -> Any:
        """A factor of the mean, for losses that divide by something else.

        Args:
            target (Tensor): Integers (B,) or floating (B, C), checked.

        Returns:
            Any: A number, or a tensor with one.
        """
        return 1

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): Integers (B,) or floating (B, C), checked.

        Returns:
            Tensor: float32 (B,); for soft targets the expected loss.
        """
        if target.dim() == 1:
            return self.hard_target_losses(logits, target.long())
        return expected_losses(self.class_losses(logits), target)

    def hard_target_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of each example with a label.

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): Class indices, int64 (B,).

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
            Tensor: float32 (B, C).
        """
        raise NotImplementedError(
            f'{type(self).__name__} does not define class_losses'
        )

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that the softmax of the logits is trained toward.

        Args:
            class_counts (Tensor): n, training images of each class, (C,).

        Returns:
            Optional[Tensor]: Proportional to the prior, float64 (C,),
            positive; None if the loss's formula does not say.
        """
        return None

    def _apply(self, fn: Callable, recurse: bool = True) -> 'LongTailLoss':
        """Move to a device; counts and edges keep their types."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.dtype == tensor.dtype:
                return moved
            return tensor.to(moved.device)

        return super()._apply(move, recurse)

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        return (
            f'num_classes={self.num_classes}, '
            f'reduction={self.reduction!r}, '
            f'loss_weight={self.loss_weight}'
        )


class ClassCountLoss(LongTailLoss):
    """Base of the losses that use the number of training images of a class.

    ``class_counts``, int64 (C,), all 0 while unknown, is a property of the data
    and not of the model: checkpoints do not hold it. A subclass ends its
    constructor with :meth:`init_class_counts`.
    """

    class_counts: Tensor
    # Whether the loss cannot be computed without class counts.
    needs_class_counts = False

    def init_class_counts(self, class_counts: Optional[Counts]) -> None:
        """Make room for class counts, and take those of the constructor.

        Args:
            class_counts (Optional[Counts]): C integers, or the path of a file
                with one a line. None leaves it to a hook (``ClassCountsHook``
                or ``AURARebinHook``), which reads the train dataset.

        Raises:
            TypeError: If the counts are not integers.
            ValueError: If there are not C counts, one is negative or all
                are 0.
        """
        counts = torch.zeros(self.num_classes, dtype=torch.int64)
        self.register_buffer('class_counts', counts, persistent=False)
        for name, table in self.count_tables(counts).items():
            self.register_buffer(name, table, persistent=False)
        # Beside the tensor: to read it would make forward wait for the device.
        self._num_images = 0
        self._given_counts: Optional[List[int]] = None
        if class_counts is not None:
            self.set_class_counts(class_counts)
            parsed = parse_counts(class_counts, self.num_classes)
            self._given_counts = parsed.tolist()

    def count_tables(self, class_counts: Tensor) -> Dict[str, Tensor]:
        """Tables that follow from the class counts, kept with them.

        Args:
            class_counts (Tensor): n, int64 (C,), all 0 while unknown.

        Returns:
            Dict[str, Tensor]: Buffers by name.
        """
        return {}

    def set_class_counts(self, counts: Counts) -> None:
        """Tell the loss how many training images each class has.

        Args:
            counts (Counts): C non-negative integers, or the path of a file
                with one a line.

        Raises:
            TypeError: If the counts are not integers.
            ValueError: If there are not C counts, one is negative or all
                are 0.
        """
        parsed = parse_counts(counts, self.num_classes)
        absent = (parsed == 0).nonzero().flatten().tolist()
        if absent and not self.has_class_counts:
            more = f' and {len(absent) - 10} more' if len(absent) > 10 else ''
            warnings.warn(
                f'{type(self).__name__}: no training image of class '
                f'{", ".join(map(str, absent[:10]))}{more} of '
                f'{self.num_classes}; the others are balanced without it'
            )
        self._num_images = int(parsed.sum())
        self.class_counts.copy_(parsed)
        for name, table in self.count_tables(parsed).items():
            getattr(self, name).copy_(table)

    @property
    def has_class_counts(self) -> bool:
        """Whether class counts are known."""
        return self._num_images > 0

    def reset_parameters(self) -> None:
        """Begin again with the class counts of the constructor, if any."""
        self._num_images = 0
        self.class_counts.zero_()
        for name, table in self.count_tables(self.class_counts).items():
            getattr(self, name).copy_(table)
        super().reset_parameters()
        if self._given_counts is not None:
            self.set_class_counts(self._given_counts)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute the loss, see :meth:`LongTailLoss.forward`."""
        if self.needs_class_counts and not self.has_class_counts:
            raise UserError(
                f'{type(self).__name__} needs the training images of each '
                "class: add dict(type='ClassCountsHook') to custom_hooks, or "
                'give class_counts=[...]'
            )
        return super().forward(*args, **kwargs)


def expected_losses(losses: Tensor, target: Tensor) -> Tensor:
    """Average the losses of the classes by soft targets.

    Args:
        losses (Tensor): Loss with each class, (B, C); inf for a class that is
            masked by a logit of -inf.
        target (Tensor): Soft targets, (B, C).

    Returns:
        Tensor: Shape (B,).
    """
    # 0 * inf would be NaN.
    return torch.where(target > 0, losses * target, 0.0).sum(dim=1)


def sum_over_ranks(table: Tensor) -> Tensor:
    """Sum what each rank adds in this step, a collective call.

    Args:
        table (Tensor): This rank's, changed in place.

    Returns:
        Tensor: The same tensor; the sum of all ranks' under distributed
        training.
    """
    if world_size() > 1:
        dist.all_reduce(table)
    return table


def world_size() -> int:
    """Number of ranks; 1 without distributed training."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1
