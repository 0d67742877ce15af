"""Train class counts for losses and metrics."""

from typing import Any, Optional
from weakref import WeakSet

import numpy as np
from mmengine.registry import DATASETS, HOOKS
from torch.nn.modules.batchnorm import _BatchNorm

from mmghm.datasets.class_counts import dataset_class_counts, imbalance_factor
from mmghm.engine.recipes import tiny_last_batch
from mmghm.losses import LongTailLoss

from .loss_hook import LossHook

CLASS_COUNTS_KEY = 'class_counts'
# Runs whose log has the counts.
_told: WeakSet = WeakSet()


def give_class_counts(runner: Any, loss: Any) -> None:
    """Give the train dataset's class counts to a loss that has none.

    A dataset without readable labels is no error here: a loss that needs the
    counts raises one.
    """
    if not getattr(loss, 'has_class_counts', False):
        counts = _train_counts(runner, getattr(loss, 'num_classes', 0))
        if counts is not None:
            loss.set_class_counts(counts.tolist())


def _train_counts(runner: Any, num_classes: int = 0) -> Optional[np.ndarray]:
    dataset = runner.train_dataloader.dataset
    try:
        counts = dataset_class_counts(dataset, num_classes)
    except TypeError as error:
        runner.logger.warning(f'No class counts: {error}')
        return None
    if runner not in _told:
        _told.add(runner)
        runner.logger.info(
            f'Train set: {counts.sum()} images of {len(counts)} classes, '
            f'{counts.max()} to {counts.min()} a class '
            f'(imbalance factor {imbalance_factor(counts):.4g}).'
        )
    return counts


def _warn_of_tiny_batch(runner: Any) -> None:
    loader = runner.train_dataloader
    if loader.batch_size is None or loader.drop_last:
        return
    left = tiny_last_batch(len(loader.sampler), loader.batch_size)
    if left and any(isinstance(m, _BatchNorm) for m in runner.model.modules()):
        runner.logger.warning(
            f'The last batch of an epoch has {left} of {loader.batch_size} images, '
            'and batch normalisation with so few can spoil a training. '
            'train_dataloader.drop_last=True leaves it out.'
        )


@HOOKS.register_module()
class ClassCountsHook(LossHook):
    """Publish the train dataset's class counts.

    Losses without counts in the config get them, also losses that are switched
    in later. The message hub keeps them as ``class_counts`` for metrics such as
    ``GroupAccuracy``. While testing, they come from the checkpoint's metainfo,
    else from the train dataset of the config.
    """

    # Whether the train set's labels were asked for.
    _tried = False

    def serves(self, module: Any) -> bool:
        """Losses that take class counts, and this package's others."""
        return isinstance(module, LongTailLoss) or hasattr(
            module, 'set_class_counts'
        )

    def welcome(self, runner: Any, loss: Any) -> None:
        """Give class counts."""
        if hasattr(loss, 'set_class_counts'):
            give_class_counts(runner, loss)

    def before_train(self, runner: Any) -> None:
        """Count the train dataset and give its counts."""
        super().before_train(runner)
        self._tried = True
        counts = _train_counts(runner)
        if counts is not None:
            _share(runner, counts)
        _warn_of_tiny_batch(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Save the counts: a wrapper's metainfo is that of its first part."""
        counts = runner.message_hub.get_info(CLASS_COUNTS_KEY)
        if counts is not None:
            checkpoint.setdefault('meta', {})[CLASS_COUNTS_KEY] = counts

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the counts of the train set that a checkpoint was made on."""
        super().after_load_checkpoint(runner, checkpoint)
        meta = checkpoint.get('meta') or {}
        # Before version 0.2 only the dataset's metainfo had them.
        for part in (meta, meta.get('dataset_meta') or {}):
            if CLASS_COUNTS_KEY in part:
                _share(runner, np.asarray(part[CLASS_COUNTS_KEY]))
                return

    def before_val(self, runner: Any) -> None:
        """Make sure that metrics find counts."""
        dataset = (runner.cfg.get('train_dataloader') or {}).get('dataset')
        known = runner.message_hub.get_info(CLASS_COUNTS_KEY) is not None
        if dataset is not None and not known and not self._tried:
            self._tried = True
            try:
                counts = dataset_class_counts(DATASETS.build(dataset))
            except TypeError as error:
                # A metric that needs them has its own error.
                runner.logger.warning(f'No class counts: {error}')
            else:
                _share(runner, counts)

    before_test = before_val


def _share(runner: Any, counts: np.ndarray) -> None:
    runner.message_hub.update_info(CLASS_COUNTS_KEY, counts.tolist())
