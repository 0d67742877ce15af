"""Checkpoints of which at least one is always complete."""

from typing import Any, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from mmghm.engine.checkpoints import ATOMIC


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` for runs that may be killed at any time.

    A file appears once it is complete, and an old one is removed only after
    the next has been saved; MMEngine's removes it before.

    Args:
        *args (Any): Arguments of MMEngine's ``CheckpointHook``.
        max_keep_ckpts (int): How many checkpoints are kept; -1: all. While
            one is being saved there is one more.
        keep_every (Optional[int]): Epochs (iterations) that are multiples of
            this are kept as well.
        backend_args (Optional[dict]): Where to save. By default in the local
            file system.
        **kwargs (Any): Further arguments of MMEngine's ``CheckpointHook``.
    """

    def __init__(
        self,
        *args: Any,
        max_keep_ckpts: int = -1,
        keep_every: Optional[int] = None,
        backend_args: Optional[dict] = None,
        **kwargs: Any,
    ) -> None:
        elsewhere = '://' in str(kwargs.get('out_dir'))
        if backend_args is None and not elsewhere:
            backend_args = dict(backend=ATOMIC)
        self._num_kept = max_keep_ckpts
        self._keep_every = keep_every
        super().__init__(
            *args,
            # MMEngine makes room for the next one in advance.
            max_keep_ckpts=max_keep_ckpts + (max_keep_ckpts > 0),
            backend_args=backend_args,
            **kwargs,
        )

    def _save_checkpoint_with_step(
        self, runner: Any, step: int, meta: dict
    ) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        while 0 < self._num_kept < len(self.keep_ckpt_ids):
            step = self.keep_ckpt_ids.popleft()
            if self._keep_every and step % self._keep_every == 0:
                continue
            oldest = self.filename_tmpl.format(step)
            path = self.file_backend.join_path(self.out_dir, oldest)
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)
