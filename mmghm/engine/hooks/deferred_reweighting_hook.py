"""Deferred re-weighting (DRW)."""

from typing import Any, Optional, Union

from mmengine.registry import HOOKS

from mmghm.utils.errors import UserError

from .loss_hook import LossHook
from .schedule import (
    begin_epoch,
    check_begin,
    switch_weights,
    train_progress,
)


@HOOKS.register_module()
class DeferredReweightingHook(LossHook):
    """Let class weights act from some epoch on (Cao et al. 2019, section 3.3).

    Works with every loss that has ``weights_active`` and a ``weighting``.
    Derived from the progress, so that it is right after a resume.

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

    def __init__(
        self, begin: Union[int, float] = 0.8, interval: Optional[int] = None
    ) -> None:
        super().__init__(interval)
        check_begin(begin)
        self.begin = begin

    def serves(self, module: Any) -> bool:
        """Losses with class weights."""
        weights = getattr(module, 'weighting', 'none') != 'none'
        return weights and hasattr(module, 'weights_active')

    def before_train(self, runner: Any) -> None:
        """Find the losses.

        Args:
            runner (Any): The runner.

        Raises:
            ValueError: If the model has no loss with class weights, or the
                interval is unknown.
        """
        super().before_train(runner)
        if not self.losses:
            raise UserError(
                'DeferredReweightingHook found no loss with class weights in '
                "the model; give the loss weighting='effective_number'"
            )

    def find(self, runner: Any, beginning: bool = False) -> None:
        """Find losses, and switch their weights by the progress of the run."""
        super().find(runner, beginning)
        epoch, num_epochs = train_progress(runner, self.interval)
        begin = begin_epoch(self.begin, num_epochs)
        switch_weights(self.losses.values(), epoch >= begin)
