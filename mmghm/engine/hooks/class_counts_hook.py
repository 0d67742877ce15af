"""Train class counts for whoever needs them: losses and metrics."""

from typing import Any, List, Optional

import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, HOOKS
from torch import nn

from mmghm.datasets import dataset_class_counts
from mmghm.datasets.class_counts import imbalance_factor

CLASS_COUNTS_KEY = 'class_counts'


def counting_losses(model: nn.Module) -> List[Any]:
    """Find the losses in a model that want class counts.

    Args:
        model (nn.Module): A model, wrapped or compiled or not.

    Returns:
        List[Any]: Modules with ``set_class_counts`` that have no counts yet.
    """
    # modules() walks through DDP, FSDP and torch.compile wrappers.
    return [
        module
        for module in model.modules()
        if hasattr(module, 'set_class_counts')
        and not getattr(module, 'has_class_counts', False)
    ]


def give_class_counts(runner: Any, dataset: Any) -> Optional[np.ndarray]:
    """Give a dataset's class counts to the losses that have none.

    A dataset that does not tell its labels is no error: a loss that cannot do
    without counts says so itself.

    Args:
        runner (Any): The runner with the training model.
        dataset (Any): The train dataset.

    Returns:
        Optional[np.ndarray]: The counts, int64 (C,), None if unknown.
    """
    try:
        counts = dataset_class_counts(dataset)
    except TypeError as error:
        runner.logger.warning(f'No class counts: {error}')
        return None
    for loss in counting_losses(runner.model):
        num_classes = getattr(loss, 'num_classes', len(counts))
        loss.set_class_counts(dataset_class_counts(dataset, num_classes))
    return counts


@HOOKS.register_module()
class ClassCountsHook(Hook):
    """Publish the train dataset's class counts.

    Losses without counts get them before training; the message hub keeps them
    as ``class_counts`` for metrics such as ``GroupAccuracy``. Where nothing is
    trained (``tools/test.py``), they come from the checkpoint's metainfo, else
    from the train dataset of the config.

    It runs at ABOVE_NORMAL, before hooks that log or save.
    """

    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Any) -> None:
        """Count the train dataset and give its counts.

        Args:
            runner (Any): The runner.
        """
        dataset = runner.train_dataloader.dataset
        counts = give_class_counts(runner, dataset)
        if counts is None:
            return
        self._share(runner, counts)
        runner.logger.info(
            f'Train set: {counts.sum()} images of {len(counts)} classes, '
            f'{counts.max()} to {counts.min()} a class '
            f'(imbalance factor {imbalance_factor(counts):.4g}).'
        )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Save the counts: a wrapper's metainfo is that of its first part.

        Args:
            runner (Any): The runner.
            checkpoint (dict): Changed in place.
        """
        counts = runner.message_hub.get_info(CLASS_COUNTS_KEY)
        if counts is not None:
            checkpoint.setdefault('meta', {})[CLASS_COUNTS_KEY] = counts

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take the counts of the train set that a checkpoint was made on.

        Args:
            runner (Any): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        meta = checkpoint.get('meta') or {}
        # Before version 0.2 only the dataset's metainfo had them.
        for part in (meta, meta.get('dataset_meta') or {}):
            if CLASS_COUNTS_KEY in part:
                self._share(runner, np.asarray(part[CLASS_COUNTS_KEY]))
                return

    def before_val(self, runner: Any) -> None:
        """Make sure that metrics find counts.

        Args:
            runner (Any): The runner.
        """
        self._ensure(runner)

    def before_test(self, runner: Any) -> None:
        """Make sure that metrics find counts.

        Args:
            runner (Any): The runner.
        """
        self._ensure(runner)

    def _ensure(self, runner: Any) -> None:
        if runner.message_hub.get_info(CLASS_COUNTS_KEY) is not None:
            return
        dataset: Optional[dict] = (
            runner.cfg.get('train_dataloader') or {}
        ).get('dataset')
        if dataset is not None:
            self._share(runner, dataset_class_counts(DATASETS.build(dataset)))

    @staticmethod
    def _share(runner: Any, counts: np.ndarray) -> None:
        hub: MessageHub = runner.message_hub
        hub.update_info(CLASS_COUNTS_KEY, counts.tolist())
