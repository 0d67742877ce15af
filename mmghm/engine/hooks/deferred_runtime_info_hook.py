"""Losses read from the device when they are logged, not in every step."""

from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """``RuntimeInfoHook`` that does not wait for the device in every step.

    MMEngine's reads each step's loss, for which the host waits until the
    device is done with the step; a device that could have been given the next
    one idles. This one keeps the losses where they are until ``LoggerHook`` is
    about to write a line, and then reads all of them at once. The message hub
    gets the same values in the same order.

    It takes the place of MMEngine's:
    ``default_hooks=dict(runtime_info=dict(type='DeferredRuntimeInfoHook'))``.
    """

    def __init__(self) -> None:
        self._losses: List[Dict[str, Any]] = []

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Keep the step's losses, and read what has gathered if it is time.

        Args:
            runner (Any): The runner.
            batch_idx (int): Iteration in the loop.
            data_batch (Any): The batch, not used.
            outputs (Optional[dict]): The losses.
        """
        if outputs is not None:
            self._losses.append(dict(outputs))
        intervals = [h.interval for h in runner.hooks if type(h) is LoggerHook]
        if (
            len(intervals) != 1
            or self.every_n_inner_iters(batch_idx, intervals[0])
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
            or self.is_last_train_iter(runner)
        ):
            self._read(runner)

    def before_val(self, runner: Any) -> None:
        """Read what has gathered before another loop begins.

        Args:
            runner (Any): The runner.
        """
        self._read(runner)
        super().before_val(runner)

    def _read(self, runner: Any) -> None:
        tensors = [
            value.detach().flatten()
            for losses in self._losses
            for value in losses.values()
            if torch.is_tensor(value)
        ]
        values = iter(torch.cat(tensors).tolist() if tensors else ())
        for losses in self._losses:
            for key, value in losses.items():
                figure = next(values) if torch.is_tensor(value) else value
                runner.message_hub.update_scalar(f'train/{key}', figure)
        self._losses = []
