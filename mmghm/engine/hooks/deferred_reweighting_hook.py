"""Deferred re-weighting (DRW)."""

from typing import Any, List, Union

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from .schedule import begin_epoch, check_begin


@HOOKS.register_module()
class DeferredReweightingHook(Hook):
    """Let class weights act from some epoch on (Cao et al. 2019, section 3.3).

    Works with every loss that has ``weights_active``: those with a
    ``weighting``. Derived from the epoch, so that it is right after a resume.

    Args:
        begin (Union[int, float]): First epoch with class weights; a float
            below 1 is a fraction of all epochs. The source begins with epoch
            160 of 200.

    Raises:
        TypeError: If ``begin`` is no number.
        ValueError: If ``begin`` is below 0.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, begin: Union[int, float] = 0.8) -> None:
        check_begin(begin)
        self.begin = begin
        self._losses: List[Any] = []

    def before_train(self, runner: Any) -> None:
        """Find the losses.

        Args:
            runner (Any): The runner.

        Raises:
            ValueError: If the model has no loss with class weights.
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

    def before_train_epoch(self, runner: Any) -> None:
        """Switch the class weights by the epoch.

        Args:
            runner (Any): The runner.
        """
        begin = begin_epoch(self.begin, runner.max_epochs)
        for loss in self._losses:
            loss.weights_active = runner.epoch >= begin
