"""Checks of what a loss is called with, and of class counts."""

from typing import List, Sequence, Union

import numpy as np
import torch
from mmengine.fileio import list_from_file
from torch import Tensor

from mmghm.utils.compiling import is_compiling

Counts = Union[str, Sequence[int], np.ndarray, Tensor]


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
    if isinstance(counts, str):
        lines: List[str] = list_from_file(counts)
        try:
            counts = [int(line) for line in lines if line.strip()]
        except ValueError as error:
            raise ValueError(
                f'class_counts: {counts} must hold one integer a line ({error})'
            ) from error
    parsed = torch.as_tensor(counts).detach().cpu()
    if (
        parsed.is_floating_point()
        or parsed.is_complex()
        or parsed.dtype == torch.bool
    ):
        raise TypeError(
            f'class_counts must be integers, got {describe(parsed)}'
        )
    if parsed.shape != (num_classes,):
        raise ValueError(
            f'class_counts must have num_classes={num_classes} '
            f'entries, got shape {tuple(parsed.shape)}'
        )
    if parsed.min() < 0:
        worst = int(parsed.argmin())
        raise ValueError(
            'class_counts must be at least 0, got '
            f'{int(parsed[worst])} for class {worst}'
        )
    if parsed.max() == 0:
        raise ValueError(
            'class_counts must name at least one example, got only zeros'
        )
    return parsed.to(torch.int64)


def check_labels(target: Tensor, num_classes: int, owner: str) -> None:
    """Refuse class indices outside [0, C - 1].

    On a CPU at once; elsewhere by an asynchronous assertion, because waiting
    for the device in every forward would stall it.

    Args:
        target (Tensor): Class indices, shape (B,).
        num_classes (int): C, the number of classes.
        owner (str): Name of the loss, for the message.

    Raises:
        ValueError: If a label on the CPU is out of range.
    """
    if is_readable(target):
        if len(target) == 0:
            return
        # Fewer operations than the assertion, on the path of every step.
        lowest, highest = target.aminmax()
        if lowest.item() >= 0 and highest.item() < num_classes:
            return
    require(
        (target >= 0) & (target < num_classes),
        target,
        f'{owner}: target must be in [0, {num_classes - 1}]',
    )


def check_shares(target: Tensor, owner: str) -> None:
    """Refuse shares of classes that are negative, not finite or no shares.

    Counts of 2**43 examples are exact; shares of 2**20 and more are a mistake.

    Args:
        target (Tensor): Shares, shape (B, C).
        owner (str): Name of the loss, for the message.

    Raises:
        ValueError: If a share on the CPU is out of range.
    """
    require(
        (target >= 0) & (target < 2**20),
        target,
        f'{owner}: shares in target must be finite and at least 0, and below 2**20',
    )


def require(valid: Tensor, value: Tensor, message: str) -> None:
    """Refuse values, on the CPU at once, elsewhere without waiting for it.

    Args:
        valid (Tensor): bool, which values are fine.
        value (Tensor): The values, of the same shape.
        message (str): What is wrong with the others.

    Raises:
        ValueError: If a value on the CPU is not fine.
    """
    if not is_readable(valid):
        torch._assert_async(valid.all(), message)
    elif not valid.all():
        raise ValueError(f'{message}, got {value[~valid][0].item()}')


def is_readable(tensor: Tensor) -> bool:
    """Whether to read a value neither waits for a device nor breaks a graph."""
    return tensor.device.type == 'cpu' and not is_compiling()


def describe(value: object) -> str:
    """Name the type of a value, or the dtype of a tensor, for a message."""
    if torch.is_tensor(value):
        return f'a tensor of dtype {value.dtype}'
    return type(value).__name__
