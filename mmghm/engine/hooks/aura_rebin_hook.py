"""Epoch's end for losses with gradient-norm histograms (algorithm 1)."""

import re
from typing import Any, Dict, List, Optional, Protocol, Union

from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch import nn

from mmghm.models.losses import GradientHistogram

from .class_counts_hook import give_class_counts
from .schedule import (
    begin_epoch,
    check_begin,
    check_interval,
    iterations_per_epoch,
    switch_weights,
    train_progress,
)


class HistogramLoss(Protocol):
    """What :class:`AURARebinHook` needs of a module with a ``histogram``."""

    # Counts of the running epoch, and how they turn over.
    histogram: GradientHistogram
    # Whether W acts; the hook sets it by ``begin``.
    weights_active: bool

    @property
    def has_class_counts(self) -> bool:
        """Whether it needs no class counts from the dataset."""

    def set_class_counts(self, counts: Any) -> None:
        """Learn how many training examples each class has."""

    def rebin(self) -> None:
        """Close an epoch; a collective call."""

    def state_dict(self) -> Dict[str, Any]:
        """What a checkpoint holds of it; it is a module."""


@HOOKS.register_module()
class AURARebinHook(Hook):
    """Call ``rebin()`` of every loss that has it at each epoch's end.

    Serves every module of the training model that has a
    :class:`GradientHistogram` as its ``histogram`` (see :class:`HistogramLoss`),
    however the model is wrapped or compiled. Before training each gets class
    counts from the train dataset if it has none.

    Priority ABOVE_NORMAL: after ``RuntimeInfoHook`` (VERY_HIGH) has set the
    epoch; before ``EMAHook`` and ``SyncBuffersHook`` (NORMAL), ``LoggerHook``
    (BELOW_NORMAL), which writes the figures out with the next line, and
    ``CheckpointHook`` (VERY_LOW), so that a checkpoint at an epoch's end holds
    the new edges and empty counts.

    A checkpoint inside an epoch of an iteration-based loop holds the counts of
    every rank (``rank_counts``). An epoch-based loop repeats the epoch from
    its beginning after a resume, and so do the counts.

    Args:
        interval (Optional[int]): Iterations between rebins under an
            iteration-based loop. By default one pass over the train dataset.
            Epoch-based loops ignore it.
        begin (Union[int, float]): First epoch in which the intra-category weights
            act; W = 1 before, while counting and margins go on from the
            start. A float below 1 is a fraction of all epochs. Under an
            iteration-based loop an epoch is one interval.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If ``interval`` is below 1 or ``begin`` below 0.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(
        self, interval: Optional[int] = None, begin: Union[int, float] = 0
    ) -> None:
        check_interval(interval)
        check_begin(begin)
        self.interval = interval
        self.begin = begin
        self._losses: List[HistogramLoss] = []
        # Counts of every rank, per loss: of a checkpoint about to be saved,
        # and of the one that was resumed.
        self._gathered: Optional[List[Any]] = None
        self._resumed: Optional[List[Any]] = None

    def before_train(self, runner: Any) -> None:
        """Find the losses and give them class counts.

        Args:
            runner (Any): The runner.

        Raises:
            ValueError: If the model has no such loss, or the interval cannot
                be told.
        """
        self._losses = list(_histogram_losses(runner.model).values())
        if not self._losses:
            raise ValueError(
                'AURARebinHook found no loss with histograms in the model; set '
                "model.head.loss to dict(type='GHMCWAPLoss', num_classes=...) "
                'or take the hook out of custom_hooks'
            )
        give_class_counts(runner, runner.train_dataloader.dataset)
        self._by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self._by_iteration:
            self.interval = iterations_per_epoch(runner, self.interval)
        for loss, tables in zip(self._losses, self._resumed or ()):
            if tables is not None:
                loss.histogram.restore_counts(tables)
        self._resumed = None
        # Also right after a resume, on either side of `begin`.
        self._set_active(runner, ahead=0)

    def before_train_epoch(self, runner: Any) -> None:
        """Switch the intra-category weights by the epoch.

        Args:
            runner (Any): The runner.
        """
        if not self._by_iteration:
            for loss in self._losses:
                loss.histogram.clear()
        self._set_active(runner, ahead=0)

    def after_train_epoch(self, runner: Any) -> None:
        """Rebin under an epoch-based loop.

        Args:
            runner (Any): The runner.
        """
        if not self._by_iteration:
            self._rebin(runner)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Rebin every ``interval`` iterations under an iteration-based loop.

        Args:
            runner (Any): The runner.
            batch_idx (int): Iteration in the loop.
            data_batch (Any): The batch, not used.
            outputs (Optional[dict]): The losses, not used.
        """
        if self._by_iteration and (runner.iter + 1) % self.interval == 0:
            self._rebin(runner)
            self._set_active(runner, ahead=1)
        if self._by_iteration and _saves_now(runner):
            self._gather()

    def before_val(self, runner: Any) -> None:
        """Gather the ranks' counts, lest validation save a best checkpoint.

        Args:
            runner (Any): The runner.
        """
        if self._losses and self._by_iteration:
            self._gather()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Complete the checkpoint; called on rank 0 alone.

        Args:
            runner (Any): The runner.
            checkpoint (dict): Changed in place.
        """
        if self._gathered is not None:
            checkpoint['rank_counts'] = self._gathered
        # EMAHook saves its averaged copy as the model. Counts are no average:
        # they go along as they are.
        averaged = [
            hook.ema_model
            for hook in runner.hooks
            if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model')
        ]
        for model in averaged:
            for loss, copied in zip(
                self._losses, _histogram_losses(model).values()
            ):
                copied.load_state_dict(loss.state_dict())

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Check and keep what a resumed checkpoint knows of the losses.

        Args:
            runner (Any): The runner.
            checkpoint (dict): The checkpoint, before it is loaded.

        Raises:
            ValueError: If a run that is resumed has no histograms there, or
                ones of another shape.
        """
        if not runner._resume:
            return
        self._resumed = checkpoint.get('rank_counts')
        saved = {
            re.sub(r'^module\.', '', key): value
            for key, value in checkpoint['state_dict'].items()
        }
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        for prefix, loss in _histogram_losses(model).items():
            for name, value in loss.state_dict(prefix=f'{prefix}.').items():
                if name not in saved:
                    raise ValueError(
                        f'cannot resume: the checkpoint has no {name}; it was '
                        f'trained without {type(loss).__name__}, or with '
                        'another version of it. Without --resume, load_from '
                        'takes over the weights alone'
                    )
                if saved[name].shape != value.shape:
                    raise ValueError(
                        f'cannot resume: {name} has shape '
                        f'{tuple(saved[name].shape)} in the checkpoint and '
                        f'{tuple(value.shape)} here; set num_classes and '
                        'num_regions as they were'
                    )

    def _rebin(self, runner: Any) -> None:
        self._gathered = None
        for number, loss in enumerate(self._losses):
            loss.rebin()
            # One loss is the rule; further ones are told apart by number.
            prefix = f'train/ghm{number or ""}'
            for name, value in loss.histogram.summary().items():
                runner.message_hub.update_scalar(f'{prefix}/{name}', value)

    def _gather(self) -> None:
        tables = [loss.histogram.gather_counts() for loss in self._losses]
        needed = any(table is not None for table in tables)
        self._gathered = tables if needed else None

    def _set_active(self, runner: Any, ahead: int) -> None:
        """Derive from the progress saved in checkpoints whether W acts."""
        epoch, num_epochs = train_progress(runner, self.interval, ahead)
        begin = begin_epoch(self.begin, num_epochs)
        switch_weights(self._losses, epoch >= begin)


def _histogram_losses(model: nn.Module) -> Dict[str, Any]:
    """The losses to serve, by their names in the model."""
    # Not isinstance(m, HistogramLoss): since Python 3.12 that does not see
    # submodules.
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'histogram', None), GradientHistogram)
    }


def _saves_now(runner: Any) -> bool:
    """Whether a CheckpointHook is about to save after this iteration."""
    hooks = [h for h in runner.hooks if isinstance(h, CheckpointHook)]
    return any(
        not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in hooks
    )
