"""What all hooks for losses have in common."""

import math
import re
import sys
from typing import Any, Dict, Iterable, Optional, Union

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from mmghm.losses import LongTailLoss
from mmghm.utils.errors import UserError

# What wrappers put into the names of modules and parameters.
_WRAPPERS = re.compile(
    r'(^|(?<=\.))(module|_orig_mod|_fsdp_wrapped_module|'
    r'_checkpoint_wrapped_module)\.'
)


class LossHook(Hook):
    """Find the losses of the training model, also those that appear later.

    At the beginning of training and of every epoch it looks for losses that
    it does not know yet; MMPretrain's ``SwitchRecipeHook`` may have put one
    in. In a resumed run such a loss gets its state from the checkpoint. In a
    run that only loads weights (``load_from``) it begins without state: what
    was counted on other data would be wrong here.

    A subclass implements :meth:`serves` and :meth:`welcome`. ``interval`` is how
    many iterations count as an epoch under an iteration-based loop, by default
    one pass over the train dataset.

    Priority ABOVE_NORMAL: after ``RuntimeInfoHook`` (VERY_HIGH) has set the
    epoch; before ``EMAHook`` and ``SyncBuffersHook`` (NORMAL), ``LoggerHook``
    (BELOW_NORMAL) and ``CheckpointHook`` (VERY_LOW).
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: Optional[int] = None) -> None:
        if interval is not None:
            if not isinstance(interval, int) or isinstance(interval, bool):
                raise TypeError(
                    f'interval must be an integer or None, got {interval!r}'
                )
            if interval < 1:
                raise UserError(f'interval must be at least 1, got {interval}')
        self.interval: Any = interval
        self.losses: Dict[str, Any] = {}
        self._by_iteration = False
        self._began = False
        # The weights that were loaded before training, until it begins.
        self._loaded: Optional[Dict[str, Any]] = None

    def serves(self, module: Any) -> bool:
        """Whether the hook is for this module of the training model."""
        raise NotImplementedError(f'{type(self).__name__} does not say')

    def welcome(self, runner: Any, loss: Any) -> None:
        """Prepare a loss that was found."""

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the weights; EMAHook may still exchange them in place."""
        self._loaded = checkpoint.get('state_dict')

    def before_train(self, runner: Any) -> None:
        """Find the losses."""
        self.losses, self._began = {}, False
        self._by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self._by_iteration:
            self.interval = self.interval or _iterations_per_pass(runner)
        self.find(runner, beginning=True)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Find the losses again at the beginning of an epoch."""
        begins = batch_idx == 0
        if self._by_iteration:
            begins = runner.iter % self.interval == 0
        if begins or not self._began:
            self.find(runner)
        # By now the hooks that switch losses have switched them.
        self._began, self._loaded = True, None

    def find(self, runner: Any, beginning: bool = False) -> None:
        """Prepare the losses that are not known yet.

        UserError if training begins from a checkpoint that does not fit.
        """
        known, self.losses = self.losses, {}
        for name, module in runner.model.named_modules():
            if not self.serves(module):
                continue
            name = _WRAPPERS.sub('', name)
            self.losses[name] = module
            if known.get(name) is module:
                continue
            # One that is switched in was built on the CPU.
            module.to(next(runner.model.parameters()).device)
            if isinstance(module, LongTailLoss) and self._loaded is not None:
                if runner.iter > 0:
                    self._restore(name, module, required=beginning)
                else:
                    module.reset_state()
            self.welcome(runner, module)

    def _restore(self, name: str, loss: LongTailLoss, required: bool) -> None:
        saved = {
            _WRAPPERS.sub('', key): value
            for key, value in (self._loaded or {}).items()
        }
        state = loss.state_dict()
        if not required and not any(f'{name}.{key}' in saved for key in state):
            # It had not been switched in yet.
            return
        for key, value in state.items():
            found = saved.get(f'{name}.{key}')
            if found is None:
                raise UserError(
                    f'cannot resume: the checkpoint has no {name}.{key}; it was '
                    f'trained without {type(loss).__name__}, or with another '
                    'version of it. Without --resume, load_from takes over the '
                    'weights alone'
                )
            if found.shape != value.shape:
                raise UserError(
                    f'cannot resume: {name}.{key} has shape '
                    f'{tuple(found.shape)} in the checkpoint and '
                    f'{tuple(value.shape)} here; set num_classes and '
                    'num_regions as they were'
                )
            value.copy_(found)


class SwitchingHook(LossHook):
    """Let the weights of the losses act from some epoch on.

    ``begin`` is the first such epoch; a float below 1 is a fraction of all.
    """

    # What to say to a model without a loss to serve.
    none_found: str

    def __init__(
        self, interval: Optional[int], begin: Union[int, float]
    ) -> None:
        super().__init__(interval)
        if not isinstance(begin, (int, float)) or isinstance(begin, bool):
            raise TypeError(f'begin must be a number, got {begin!r}')
        if not begin >= 0 or (isinstance(begin, float) and begin >= 1):
            raise UserError(
                'begin must be an epoch (an integer >= 0) or a fraction of all '
                f'epochs in [0, 1), got {begin}'
            )
        self.begin = begin

    def before_train(self, runner: Any) -> None:
        """Find the losses, of which there must be one."""
        super().before_train(runner)
        if not self.losses:
            raise UserError(self.none_found)

    def find(self, runner: Any, beginning: bool = False) -> None:
        """Find losses, and switch their weights by the progress of the run."""
        super().find(runner, beginning)
        self.switch(runner, runner.iter)

    def switch(self, runner: Any, done: int) -> None:
        """Switch the weights after so many iterations."""
        epoch, num_epochs = runner.epoch, runner.max_epochs
        if self._by_iteration:
            epoch = done // self.interval
            num_epochs = runner.max_iters / self.interval
        active = epoch >= begin_epoch(self.begin, num_epochs)
        switch_weights(self.losses.values(), active)


def begin_epoch(begin: Union[int, float], num_epochs: float) -> int:
    """The epoch, counted from 0, of an epoch or of a fraction of all."""
    if isinstance(begin, int):
        return begin
    # 0.8 * 40 must not become 33 by rounding.
    return math.ceil(round(begin * num_epochs, 6))


def switch_weights(losses: Iterable[Any], active: bool) -> None:
    """Let the weights of losses with ``weights_active`` act, or not."""
    changed = [loss for loss in losses if loss.weights_active != active]
    for loss in changed:
        loss.weights_active = active
    # Old releases of torch do not look whether a module's attributes are what
    # they were when it was compiled.
    dynamo = sys.modules.get('torch._dynamo')
    if changed and dynamo is not None and not dynamo.config.guard_nn_modules:
        dynamo.reset()


def _iterations_per_pass(runner: Any) -> int:
    loader = runner.train_dataloader
    if loader.batch_size is None:
        raise UserError(
            'cannot tell how many iterations make a pass over the train set '
            'with this batch sampler; give the hook interval=...'
        )
    # An infinite sampler's loader does not end with the dataset.
    batch = loader.batch_size * runner.world_size
    return max(math.ceil(len(loader.dataset) / batch), 1)
