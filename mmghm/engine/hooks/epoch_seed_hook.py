"""Random numbers that a resumed run draws like an uninterrupted one."""

import itertools
import random
from typing import Any, Iterator, Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import get_worker_info

# Streams of random numbers in an iteration.
_LOADING, _TRAINING = 0, 1


def _seed_everything(*entropy: int) -> None:
    # Mixed, so that seed 0's second epoch is not seed 1's first; ranks differ.
    entropy += (get_rank(),) if get_rank() else ()
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed Python's, numpy's and torch's generators again for each epoch.

    MMEngine's checkpoints hold no generator states, so that augmentation,
    Mixup and dropout differ after a resume. Seeded by the run's seed and the
    epoch they do not. Dataloader workers follow if the dataloader has
    ``worker_init_fn=dict(type='seed_worker')`` and ``persistent_workers=
    False``. Iteration-based loops, which go on inside an epoch, are seeded
    for each iteration.

    Priority VERY_HIGH: before anything else draws a number.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Any) -> None:
        """Let an iteration-based loop seed each batch that it loads.

        A resumed loop loads and drops the batches trained before, without
        the training between them, which may draw numbers too.
        """
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = _seed_each(
                loop.dataloader_iterator, runner.seed
            )

    def before_train_epoch(self, runner: Any) -> None:
        """Seed the epoch."""
        _seed_everything(runner.seed, runner.epoch)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed the iteration under an iteration-based loop."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            _seed_everything(runner.seed, _TRAINING, runner.iter)


def _seed_each(batches: Iterator, seed: int) -> Iterator:
    for number in itertools.count():
        _seed_everything(seed, _LOADING, number)
        yield next(batches)


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, _scope_: Optional[str] = None) -> None:
    """Seed a dataloader worker from the main process and the rank.

    torch has mixed the worker's number into its initial seed already; MMEngine
    adds a scope to every setting that a config inherits from another package.
    """
    info = get_worker_info()
    assert info is not None, 'called by torch in a worker'
    start = torch.initial_seed() + get_rank() * info.num_workers
    random.seed(start % 2**32)
    np.random.seed(start % 2**32)
