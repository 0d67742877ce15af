"""When something begins: an epoch, or a fraction of all epochs."""

import math
import sys
from typing import Any, Iterable, Optional, Tuple, Union

from mmengine.runner import IterBasedTrainLoop

from mmghm.utils.errors import UserError


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
        raise UserError(
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


def iterations_per_epoch(runner: Any, interval: Optional[int] = None) -> int:
    """How many iterations an iteration-based loop counts as an epoch.

    Args:
        runner (Any): The runner.
        interval (Optional[int]): What the user said; by default one pass over
            the train dataset.

    Returns:
        int: At least 1.

    Raises:
        ValueError: If the interval is unknown.
    """
    if interval is not None:
        return interval
    loader = runner.train_dataloader
    if loader.batch_size is None:
        raise UserError(
            'cannot tell how many iterations make a pass over the train set '
            'with this batch sampler; give the hook interval=...'
        )
    # An infinite sampler's loader does not end with the dataset.
    batch = loader.batch_size * runner.world_size
    return max(math.ceil(len(loader.dataset) / batch), 1)


def train_progress(
    runner: Any, interval: Optional[int], ahead: int = 0
) -> Tuple[int, float]:
    """Where a run is, in epochs.

    Args:
        runner (Any): The runner.
        interval (Optional[int]): Iterations that count as an epoch under an
            iteration-based loop, see :func:`iterations_per_epoch`.
        ahead (int): Iterations done that the runner has not counted yet.

    Returns:
        Tuple[int, float]: The epoch, counted from 0, and how many there are.
    """
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        return runner.epoch, runner.max_epochs
    length = iterations_per_epoch(runner, interval)
    return (runner.iter + ahead) // length, runner.max_iters / length


def switch_weights(losses: Iterable[Any], active: bool) -> None:
    """Let the weights of losses act, or not.

    Args:
        losses (Iterable[Any]): Losses with ``weights_active``.
        active (bool): Whether they act.
    """
    changed = [loss for loss in losses if loss.weights_active != active]
    for loss in changed:
        loss.weights_active = active
    # Newer releases of torch look whether a module's attributes are what they
    # were when it was compiled.
    dynamo = sys.modules.get('torch._dynamo')
    if changed and dynamo is not None and not dynamo.config.guard_nn_modules:
        dynamo.reset()


def check_interval(interval: Optional[int]) -> None:
    """Refuse what is no number of iterations.

    Args:
        interval (Optional[int]): An integer of at least 1, or None.

    Raises:
        TypeError: If it is neither an integer nor None.
        ValueError: If it is below 1.
    """
    if interval is None:
        return
    if not isinstance(interval, int) or isinstance(interval, bool):
        raise TypeError(
            f'interval must be an integer or None, got {interval!r}'
        )
    if interval < 1:
        raise UserError(f'interval must be at least 1, got {interval}')
