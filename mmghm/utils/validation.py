"""Checks of what users give, with messages that say what is accepted."""

import math
from numbers import Integral, Real
from typing import Sequence

from mmghm.utils.errors import UserError


def check_integer(name: str, value: object, minimum: int) -> None:
    """Refuse anything but an integer of at least ``minimum``.

    Args:
        name (str): Name of the argument, for the message.
        value (object): What was given.
        minimum (int): Smallest accepted value.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{name} must be an integer, got {value!r}')
    if value < minimum:
        raise UserError(f'{name} must be at least {minimum}, got {value}')


def check_number(
    name: str,
    value: object,
    minimum: float = -float('inf'),
    maximum: float = float('inf'),
    open_minimum: bool = False,
) -> None:
    """Refuse anything but a finite number in a range.

    Args:
        name (str): Name of the argument, for the message.
        value (object): What was given.
        minimum (float): Smallest accepted value.
        maximum (float): Largest accepted value.
        open_minimum (bool): Whether the minimum itself is refused.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is outside the range or not finite.
    """
    # NumPy's numbers are registered as such.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{name} must be a number, got {value!r}')
    number = float(value)
    inside = minimum < number if open_minimum else minimum <= number
    if not (inside and number <= maximum) or not math.isfinite(number):
        left = '(' if open_minimum or minimum == -float('inf') else '['
        right = ')' if maximum == float('inf') else ']'
        raise UserError(
            f'{name} must be in {left}{minimum}, {maximum}{right}, got {value}'
        )


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse anything but one of some strings.

    Args:
        name (str): Name of the argument, for the message.
        value (object): What was given.
        choices (Sequence[str]): What is accepted.

    Raises:
        ValueError: If it is none of them.
    """
    if value not in choices:
        raise UserError(
            f'{name} must be one of {", ".join(map(repr, choices))}'
            f', got {value!r}'
        )
