"""When something begins: an epoch, or a fraction of all epochs."""

import math
from typing import Union


def check_begin(begin: Union[int, float]) -> None:
    """Refuse what is neither an epoch nor a fraction of all epochs.

    Args:
        begin (Union[int, float]): An integer of at least 0, or a float in
            [0, 1).

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if not isinstance(begin, (int, float)) or isinstance(begin, bool):
        raise TypeError(f'begin must be a number, got {begin!r}')
    if not begin >= 0 or (isinstance(begin, float) and begin >= 1):
        raise ValueError(
            'begin must be an epoch (an integer >= 0) or a fraction of all '
            f'epochs in [0, 1), got {begin}'
        )


def begin_epoch(begin: Union[int, float], num_epochs: float) -> int:
    """Turn a fraction of all epochs into an epoch.

    Args:
        begin (Union[int, float]): Checked by :func:`check_begin`.
        num_epochs (float): Epochs of the run.

    Returns:
        int: The first epoch, counted from 0.
    """
    if isinstance(begin, int):
        return begin
    # 0.8 * 40 must not become 33 by rounding.
    return math.ceil(round(begin * num_epochs, 6))
