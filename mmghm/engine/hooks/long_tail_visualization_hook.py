"""Pictures for local files, TensorBoard, Weights & Biases, MLflow, ..."""

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from mmghm.losses import histogram_losses
from mmghm.utils.validation import check_integer

from .class_counts_hook import CLASS_COUNTS_KEY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@HOOKS.register_module()
class LongTailVisualizationHook(Hook):
    """Give pictures of the long tail to every backend of the visualizer.

    - ``long_tail_classes``: the distribution of the train set, once;
    - ``long_tail_histograms``: gradient-norm histograms with their adaptive
      edges and W, of some categories from head to tail (the paper's Fig. 2);
    - ``long_tail_categories``: S and W of every category;
    - ``long_tail_groups``: accuracy per group over the epochs, of the
      ``GroupAccuracy`` metric, after validations.

    Pictures are drawn on rank 0 between epochs, every ``interval`` epochs and
    after the last one; never in a step. One that fails is a warning. For
    epoch-based loops.

    Priority LOW: after ``AURARebinHook`` has published the epoch's
    histograms.

    Args:
        interval (int): Epochs between pictures.
        max_classes (int): How many categories' histograms to show.
        rule (str): Groups of classes, one that the metric has.

    Raises:
        ValueError: If a number is below 1.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 10, max_classes: int = 6, rule: str = 'quartile'
    ) -> None:
        check_integer('interval', interval, 1)
        check_integer('max_classes', max_classes, 1)
        self.interval = interval
        self.max_classes = max_classes
        self.rule = rule

    @master_only
    def before_train(self, runner: Any) -> None:
        """Show the train set."""
        from mmghm.visualization.distribution import draw_class_distribution

        counts = runner.message_hub.get_info(CLASS_COUNTS_KEY)
        if counts is not None:
            args = (np.asarray(counts), self._class_names(runner), self.rule)
            self._show(runner, 'classes', 0, draw_class_distribution, *args)

    @master_only
    def after_train_epoch(self, runner: Any) -> None:
        """Show the finished epoch's histograms, if it is its turn."""
        epoch = runner.epoch + 1
        if not self._is_due(runner, epoch):
            return
        # Matplotlib is slow to import; training should not wait for it.
        from mmghm.visualization.distribution import draw_category_terms
        from mmghm.visualization.histograms import draw_histograms

        names = self._class_names(runner)
        for number, loss in enumerate(histogram_losses(runner.model)):
            self._show(
                runner,
                f'histograms{number or ""}',
                epoch,
                draw_histograms,
                loss,
                names,
                self.max_classes,
                f'Gradient-norm histograms after epoch {epoch}',
            )
            self._show(
                runner,
                f'categories{number or ""}',
                epoch,
                draw_category_terms,
                loss,
                names,
                f'Effective size and weight after epoch {epoch}',
            )

    @master_only
    def after_val_epoch(
        self, runner: Any, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Show the accuracy of groups so far."""
        # A validation comes after its epoch.
        if not self._is_due(runner, runner.epoch):
            return
        from mmghm.visualization.distribution import draw_group_accuracy

        history = self._history(runner)
        number = max(map(len, history.values()), default=0)
        if number:
            step = runner.train_loop.val_interval
            epochs = [runner.epoch - step * i for i in range(number)[::-1]]
            args = (draw_group_accuracy, epochs, history)
            self._show(runner, 'groups', runner.epoch, *args)

    def _history(self, runner: Any) -> Dict[str, List[float]]:
        """Accuracy at each validation, by group."""
        found = {}
        for key, buffer in runner.message_hub.log_scalars.items():
            parts = key.split('/')
            wanted = self.rule in parts or 'overall' in parts
            if parts[0] == 'val' and parts[-1] == 'top1' and wanted:
                found[parts[-2]] = list(buffer.data[0])
        return found

    def _is_due(self, runner: Any, epoch: int) -> bool:
        # Nothing is due under runner.val() alone.
        if not isinstance(runner._train_loop, EpochBasedTrainLoop):
            return False
        return epoch % self.interval == 0 or epoch == runner.max_epochs

    @staticmethod
    def _class_names(runner: Any) -> Optional[List[str]]:
        meta = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        return list(map(str, meta.get('classes') or ())) or None

    @staticmethod
    def _show(
        runner: Any,
        name: str,
        step: int,
        draw: Callable[..., 'Figure'],
        *args: Any,
    ) -> None:
        from mmghm.visualization.distribution import to_image

        try:
            image = to_image(draw(*args))
            runner.visualizer.add_image(f'long_tail_{name}', image, step)
        except Exception as error:
            # The run is worth more than its picture.
            runner.logger.warning(f'No picture long_tail_{name}: {error!r}')
