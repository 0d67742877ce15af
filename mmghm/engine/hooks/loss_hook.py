"""What all hooks for losses have in common."""

import re
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from mmghm.losses import LongTailLoss
from mmghm.utils.errors import UserError

from .schedule import check_interval, iterations_per_epoch

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

    A subclass implements :meth:`serves` and :meth:`welcome`.

    Priority ABOVE_NORMAL: after ``RuntimeInfoHook`` (VERY_HIGH) has set the
    epoch; before ``EMAHook`` and ``SyncBuffersHook`` (NORMAL), ``LoggerHook``
    (BELOW_NORMAL) and ``CheckpointHook`` (VERY_LOW).

    Args:
        interval (Optional[int]): Iterations that count as an epoch under an
            iteration-based loop; by default one pass over the train dataset.
            Epoch-based loops ignore it.

    Raises:
        TypeError: If ``interval`` is no integer.
        ValueError: If ``interval`` is below 1.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(self, interval: Optional[int] = None) -> None:
        check_interval(interval)
        self.interval = interval
        self.losses: Dict[str, Any] = {}
        self._by_iteration = False
        self._began = False
        # The weights that were loaded before training, until it begins.
        self._loaded: Optional[Dict[str, Any]] = None

    def serves(self, module: Any) -> bool:
        """Whether the hook is for this module.

        Args:
            module (Any): Any module of the training model.

        Returns:
            bool: True if it is.
        """
        raise NotImplementedError(f'{type(self).__name__} does not say')

    def welcome(self, runner: Any, loss: Any) -> None:
        """Prepare a loss that was found.

        Args:
            runner (Any): The runner.
            loss (Any): The loss.
        """

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the weights; EMAHook may still exchange them in place."""
        self._loaded = checkpoint.get('state_dict')

    def before_train(self, runner: Any) -> None:
        """Find the losses."""
        self.losses, self._began = {}, False
        self._by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self._by_iteration:
            self.interval = iterations_per_epoch(runner, self.interval)
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

        Args:
            runner (Any): The runner.
            beginning (bool): Whether training is about to begin.

        Raises:
            ValueError: If a run is resumed and its checkpoint does not fit.
        """
        known, self.losses = self.losses, {}
        for name, module in runner.model.named_modules():
            if not self.serves(module):
                continue
            name = _WRAPPERS.sub('', name)
            self.losses[name] = module
            if known.get(name) is module:
                continue
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
