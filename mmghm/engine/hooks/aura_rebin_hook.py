"""Epoch's end for losses with gradient-norm histograms (algorithm 1)."""

from typing import Any, Optional, Union

from mmengine.registry import HOOKS

from mmghm.losses import GHMCWAPLoss, histogram_losses

from .class_counts_hook import give_class_counts
from .loss_hook import SwitchingHook


@HOOKS.register_module()
class AURARebinHook(SwitchingHook):
    """Call ``rebin()`` of every :class:`GHMCWAPLoss` at each epoch's end.

    The model may be wrapped or compiled. Each loss gets class counts from
    the train dataset if the config gives none; see :class:`LossHook` for
    checkpoints and for losses that are switched in.

    It runs before ``CheckpointHook``, so that a checkpoint at an epoch's end
    holds the new edges and empty counts. One inside an epoch holds the counts
    so far: an iteration-based loop goes on from them, on any number of ranks;
    an epoch-based loop repeats the epoch, and so do the counts.

    Args:
        interval (Optional[int]): Iterations between rebins under an
            iteration-based loop. By default one pass over the train dataset.
            Epoch-based loops ignore it.
        begin (Union[int, float]): First epoch in which W acts; W = 1 before,
            while counting and margins go on from the start. A float below 1 is
            a fraction of all epochs. Under an iteration-based loop an epoch is
            one interval. The paper does not say when; W from the first epoch
            (0) was harmful in this project's measurements.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If ``interval`` is below 1 or ``begin`` below 0.
    """

    none_found = (
        'AURARebinHook found no loss with histograms in the model; set '
        "model.head.loss to dict(type='GHMCWAPLoss', num_classes=...) "
        'or take the hook out of the config'
    )

    def __init__(
        self, interval: Optional[int] = None, begin: Union[int, float] = 0.8
    ) -> None:
        super().__init__(interval, begin)

    def serves(self, module: Any) -> bool:
        """Losses with histograms."""
        return isinstance(module, GHMCWAPLoss)

    def welcome(self, runner: Any, loss: Any) -> None:
        """Give class counts."""
        loss.rebin_scheduled = True
        give_class_counts(runner, loss)

    def before_train_epoch(self, runner: Any) -> None:
        """Begin an epoch with empty counts, also one that is repeated."""
        if not self._by_iteration:
            for loss in self.losses.values():
                loss.clear()

    def after_train_epoch(self, runner: Any) -> None:
        """Rebin under an epoch-based loop."""
        if not self._by_iteration:
            self._rebin(runner)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Rebin every ``interval`` iterations under an iteration-based loop."""
        if self._by_iteration and (runner.iter + 1) % self.interval == 0:
            self._rebin(runner)
            self.switch(runner, runner.iter + 1)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Save histograms as they are, also with EMAHook's averaged weights."""
        for hook in runner.hooks:
            averaged = getattr(hook, 'ema_model', None)
            copies = () if averaged is None else histogram_losses(averaged)
            for copied, loss in zip(copies, self.losses.values()):
                copied.load_state_dict(loss.state_dict())

    def _rebin(self, runner: Any) -> None:
        for number, loss in enumerate(self.losses.values()):
            loss.rebin()
            # Most models have one loss; others are numbered.
            prefix = f'train/ghm{number or ""}'
            for name, value in loss.summary().items():
                runner.message_hub.update_scalar(f'{prefix}/{name}', value)
