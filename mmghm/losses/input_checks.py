"""Checks of arguments, of what a loss is called with, and of class counts."""

from pathlib import Path
from typing import Optional, Sequence, Union

import torch
from torch import Tensor

from mmghm.utils.errors import UserError

Counts = Union[str, Path, Sequence[int], Tensor]


def parse_counts(counts: Counts, num_classes: int) -> Tensor:
    """Read and check class counts.

    Args:
        counts (Counts): Integers, or the path of a file with one a line.
        num_classes (int): C, how many there must be.

    Returns:
        Tensor: int64 (C,) on the CPU.

    Raises:
        TypeError: If the counts are not integers.
        ValueError: If there are not C counts, one is negative or all are 0.
    """
    if isinstance(counts, (str, Path)):
        lines = Path(counts).read_text(encoding='utf-8').split()
        try:
            counts = [int(line) for line in lines]
        except ValueError as error:
            raise UserError(
                f'class_counts: {counts} must hold one integer a line ({error})'
            ) from error
    # The device is named for the sake of `with torch.device('meta')`.
    parsed = torch.as_tensor(counts, device='cpu').detach()
    if (
        parsed.is_floating_point()
        or parsed.is_complex()
        or parsed.dtype == torch.bool
    ):
        raise TypeError(f'class_counts must be integers, got {parsed.dtype}')
    if parsed.shape != (num_classes,):
        raise UserError(
            f'class_counts must have num_classes={num_classes} '
            f'entries, got shape {tuple(parsed.shape)}'
        )
    if parsed.min() < 0:
        worst = int(parsed.argmin())
        raise UserError(
            'class_counts must be at least 0, got '
            f'{int(parsed[worst])} for class {worst}'
        )
    if parsed.max() == 0:
        raise UserError(
            'class_counts must name at least one image, got only zeros'
        )
    return parsed.to(torch.int64)


def check_inputs(
    cls_score: Tensor,
    target: Tensor,
    weight: Optional[Tensor],
    num_classes: int,
    owner: str,
) -> None:
    """Refuse what a loss cannot take, in one line that says what to do.

    Values are checked at once on a CPU; elsewhere by an assertion on the
    device, because waiting for it would stall every step.

    Args:
        cls_score (Tensor): Must be floating (B, C).
        target (Tensor): Must be integers (B,) in [0, C - 1], or floating
            (B, C) of at least 0 with rows that sum to 1.
        weight (Optional[Tensor]): Must be finite, shape (B,).
        num_classes (int): C.
        owner (str): Name of the loss, for the messages.

    Raises:
        TypeError: If cls_score or target has no fitting dtype.
        ValueError: If a shape or a value is out of range.
    """
    for name, value in (('cls_score', cls_score), ('target', target)):
        if not torch.is_tensor(value):
            raise TypeError(
                f'{owner}: {name} must be a tensor, got {type(value).__name__}'
            )
    if not cls_score.is_floating_point():
        raise TypeError(
            f'{owner}: cls_score must be floating, got {cls_score.dtype}'
        )
    if cls_score.dim() > 2:
        raise UserError(
            f'{owner} takes one row of logits an example, got the shape '
            f'{tuple(cls_score.shape)}; flatten with cls_score.movedim(1, -1)'
            f'.reshape(-1, {num_classes}) and target.reshape(-1)'
        )
    if cls_score.dim() != 2 or cls_score.size(1) != num_classes:
        raise UserError(
            f'{owner}: cls_score must have shape (B, num_classes={num_classes})'
            f', got {tuple(cls_score.shape)}; set num_classes of the loss to '
            'the width of the head'
        )
    batch = (cls_score.size(0),)
    if target.shape == batch:
        _check_labels(target, num_classes, owner)
    elif target.shape == cls_score.shape:
        _check_soft_targets(target, owner)
    else:
        raise UserError(
            f'{owner}: target must have shape {batch} (class indices) or '
            f'{tuple(cls_score.shape)} (soft targets), got '
            f'{tuple(target.shape)}'
        )
    if weight is not None:
        if weight.shape != batch:
            raise UserError(
                f'{owner}: weight must have shape {batch}, got '
                f'{tuple(weight.shape)}'
            )
        require(weight.isfinite(), weight, f'{owner}: weight must be finite')


def _check_labels(target: Tensor, num_classes: int, owner: str) -> None:
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(
            f'{owner}: target of shape (B,) must hold integer class indices, '
            f'got {target.dtype}'
        )
    if is_readable(target):
        if len(target) == 0:
            return
        # Two numbers are read, faster than comparing every label.
        lowest, highest = (int(bound) for bound in target.aminmax())
        if lowest >= 0 and highest < num_classes:
            return
    require(
        target >= 0,
        target,
        f'{owner}: target must be in [0, {num_classes - 1}] and there is no '
        'ignore_index: leave such examples out with cls_score[target >= 0] '
        'and target[target >= 0]',
    )
    require(
        target < num_classes,
        target,
        f'{owner}: target must be in [0, {num_classes - 1}]; give the loss and '
        'the head as many classes as there are labels (the background label '
        'of a detection head is not supported)',
    )


def _check_soft_targets(target: Tensor, owner: str) -> None:
    if not target.is_floating_point():
        raise TypeError(
            f'{owner}: target of shape (B, C) must hold floating soft targets, '
            f'got {target.dtype}'
        )
    require(target >= 0, target, f'{owner}: soft targets must be at least 0')
    total = target.sum(dim=1, dtype=torch.float32)
    # Half precision rounds the entries.
    require(
        (total - 1).abs() < 1e-2,
        total,
        f'{owner}: each row of soft targets must sum to 1 (multi-label targets '
        'are not supported; they need a sigmoid loss for each class)',
    )


def require(valid: Tensor, value: Tensor, message: str) -> None:
    """Refuse values, at once on a CPU, elsewhere without waiting for it.

    Args:
        valid (Tensor): bool, which values are fine.
        value (Tensor): The values, of the same shape.
        message (str): What is wrong with the others, and what to do.

    Raises:
        ValueError: If a value on the CPU is not fine.
    """
    if not is_readable(valid):
        torch._assert_async(valid.all(), message)
    elif not valid.all():
        raise UserError(f'{message}, got {value[~valid][0].item()}')


def is_readable(tensor: Tensor) -> bool:
    """Whether to read a value neither waits for a device nor breaks a graph."""
    return tensor.device.type == 'cpu' and not torch.compiler.is_compiling()
