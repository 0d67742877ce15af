"""Deferred re-weighting (DRW)."""

from typing import Any, List, Optional, Union

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from .schedule import (
    begin_epoch,
    check_begin,
    check_interval,
    iterations_per_epoch,
    switch_weights,
    train_progress,
)


@HOOKS.register_module()
class DeferredReweightingHook(Hook):
    """Let class weights act from some epoch on (Cao et al. 2019, section 3.3).

    Works with every loss that has ``weights_active``: those with a
    ``weighting``. Derived from the progress, so that it is right after a
    resume.

    Args:
        begin (Union[int, float]): First epoch with class weights; a float
            below 1 is a fraction of all epochs. The source begins with epoch
            160 of 200.
        interval (Optional[int]): Iterations that count as an epoch under an
            iteration-based loop; by default one pass over the train dataset.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If ``begin`` is below 0 or ``interval`` below 1.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(
        self, begin: Union[int, float] = 0.8, interval: Optional[int] = None
    ) -> None:
        check_begin(begin)
        check_interval(interval)
        self.interval = interval
        self.begin = begin
        self._losses: List[Any] = []

    def before_train(self, runner: Any) -> None:
        """Find the losses.

        Args:
            runner (Any): The runner.

        Raises:
            ValueError: If the model has no loss with class weights, or the
                interval cannot be told.
        """
        self._losses = [
            module
            for module in runner.model.modules()
            if hasattr(module, 'weights_active')
        ]
        if not any(
            getattr(loss, 'weighting', '') != 'none' for loss in self._losses
        ):
            raise ValueError(
                'DeferredReweightingHook found no loss with class weights in '
                "the model; give the loss weighting='effective_number'"
            )

        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self.interval = iterations_per_epoch(runner, self.interval)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Switch the class weights by the progress.

        Args:
            runner (Any): The runner.
            batch_idx (int): Iteration in the epoch, not used.
            data_batch (Any): The batch, not used.
        """
        epoch, num_epochs = train_progress(runner, self.interval)
        begin = begin_epoch(self.begin, num_epochs)
        switch_weights(self._losses, epoch >= begin)
