"""Checks of what users give, with messages that say what is accepted."""

import math
from numbers import Integral, Real
from typing import Sequence

from mmghm.utils.errors import UserError


def check_integer(name: str, value: object, minimum: int) -> None:
    """Refuse anything but an integer of at least ``minimum``.

    TypeError if it is no integer, UserError if it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{name} must be an integer, got {value!r}')
    if value < minimum:
        raise UserError(f'{name} must be at least {minimum}, got {value}')


def check_number(
    name: str,
    value: object,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    open_minimum: bool = False,
) -> None:
    """Refuse anything but a finite number in a range.

    The range holds its ends, under ``open_minimum`` not the lower one.
    TypeError if it is no number, UserError if it is outside the range.
    """
    # NumPy's numbers are registered as such.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{name} must be a number, got {value!r}')
    number = float(value)
    inside = minimum < number if open_minimum else minimum <= number
    if not (inside and number <= maximum) or not math.isfinite(number):
        left = '(' if open_minimum or minimum == -math.inf else '['
        right = ')' if maximum == math.inf else ']'
        raise UserError(
            f'{name} must be in {left}{minimum}, {maximum}{right}, got {value}'
        )


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse anything but one of some strings with a UserError."""
    if value not in choices:
        raise UserError(
            f'{name} must be one of {", ".join(map(repr, choices))}'
            f', got {value!r}'
        )
