"""Deferred re-weighting (DRW)."""

from typing import Any, Optional, Union

from mmengine.registry import HOOKS

from .loss_hook import SwitchingHook


@HOOKS.register_module()
class DeferredReweightingHook(SwitchingHook):
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

    none_found = (
        'DeferredReweightingHook found no loss with class weights in '
        "the model; give the loss weighting='effective_number'"
    )

    def __init__(
        self, begin: Union[int, float] = 0.8, interval: Optional[int] = None
    ) -> None:
        super().__init__(interval, begin)

    def serves(self, module: Any) -> bool:
        """Losses with class weights."""
        weights = getattr(module, 'weighting', 'none') != 'none'
        return weights and hasattr(module, 'weights_active')
