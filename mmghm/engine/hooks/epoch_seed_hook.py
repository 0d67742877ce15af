"""Random numbers that a resumed run draws like an uninterrupted one."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from torch.utils.data import get_worker_info


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed Python's, numpy's and torch's generators anew for each epoch.

    MMEngine's checkpoints hold no generator states, so that augmentation,
    Mixup and dropout differ after a resume. Seeded by the run's seed and the
    epoch they do not. Dataloader workers follow if the dataloader has
    ``worker_init_fn=dict(type='seed_worker')`` and ``persistent_workers=
    False``.

    Priority VERY_HIGH: before anything else draws a number in the epoch.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Any) -> None:
        """Seed the epoch.

        Args:
            runner (Any): The runner.
        """
        # Mixed, lest seed 0's second epoch be seed 1's first.
        mixed = np.random.SeedSequence([runner.seed, runner.epoch])
        _seed_everything(int(mixed.generate_state(1)[0]))


@FUNCTIONS.register_module()
def seed_worker(worker_id: int) -> None:
    """Seed a dataloader worker from the main process and the rank.

    Args:
        worker_id (int): Number of the worker; torch has mixed it into the
            worker's initial seed already.
    """
    info = get_worker_info()
    assert info is not None, 'called by torch in a worker'
    start = torch.initial_seed() + get_rank() * info.num_workers
    random.seed(start % 2**32)
    np.random.seed(start % 2**32)
