"""Save a picture of the learned histograms once training has ended."""

import os.path as osp
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmghm.losses import histogram_losses


@HOOKS.register_module()
class HistogramPictureHook(Hook):
    """Save ``histograms.png`` into the work dir after training.

    Args:
        max_classes (int): How many classes to show, from head to tail.
    """

    priority = 'VERY_LOW'

    def __init__(self, max_classes: int = 6) -> None:
        self.max_classes = max_classes

    @master_only
    def after_train(self, runner: Any) -> None:
        """Draw the histograms of the last finished epoch."""
        # Matplotlib is slow to import; training should not wait for it.
        from mmghm.visualization.histograms import save_histograms

        meta = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        for number, loss in enumerate(histogram_losses(runner.model)):
            path = osp.join(runner.work_dir, f'histograms{number or ""}.png')
            try:
                save_histograms(
                    loss,
                    path,
                    class_names=meta.get('classes'),
                    max_classes=self.max_classes,
                    title=f'Gradient-norm histograms after epoch {runner.epoch}',
                )
            except Exception as error:
                # The run is worth more than its picture.
                runner.logger.warning(f'No picture {path}: {error!r}')
                continue
            runner.logger.info(f'Saved the learned histograms to {path}')
