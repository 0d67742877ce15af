"""Print the group table once a run has ended."""

from typing import Any

from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmghm.evaluation import GroupAccuracy
from mmghm.visualization.tables import group_table


@HOOKS.register_module()
class GroupTableHook(Hook):
    """Log the table of each ``GroupAccuracy`` after training and testing.

    After training it shows the last validation. Priority VERY_LOW: after
    ``LoggerHook`` has written the figures.
    """

    priority = 'VERY_LOW'

    def after_train(self, runner: Any) -> None:
        """Log the table of the last validation."""
        if runner.val_loop is not None:
            self._log(runner, runner.val_evaluator)

    def after_test(self, runner: Any) -> None:
        """Log the table of the test."""
        self._log(runner, runner.test_evaluator)

    @staticmethod
    @master_only
    def _log(runner: Any, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if isinstance(metric, GroupAccuracy) and metric.table:
                runner.logger.info('\n' + group_table(metric))
