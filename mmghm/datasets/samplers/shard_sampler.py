"""A sampler that stays with a few shards at a time."""

from typing import Any, Iterator, Optional, Sized

import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from mmghm.utils.errors import UserError

from ..image_shards import shard_numbers


def shard_order(
    shards: np.ndarray, window: int, generator: np.random.Generator
) -> np.ndarray:
    """A random order of images, int64 (n,), that goes through shards by groups.

    Shards, by their number for each image (n,), are permuted and cut into
    groups of ``window``; the images of a group are permuted.
    """
    places = generator.permutation(int(shards.max(initial=-1)) + 1)
    ties = generator.permutation(len(shards))
    return ties[np.argsort(places[shards[ties]] // window, kind='stable')]


@DATA_SAMPLERS.register_module()
class ShardSampler(DefaultSampler):
    """Every image once an epoch, by groups of shards.

    Each rank goes through a part of its own of the epoch's order, of the same
    length on all ranks (the first ranks' images fill up the last), so that a
    machine downloads few shards twice. The order depends on seed and epoch
    alone.

    Args:
        dataset (Sized): :class:`ImageShards`, or ``LongTailDataset`` around
            it.
        window (int): Shards whose images are mixed, at least 1. The cache
            should hold this many for each rank of a machine, and some more.
        seed (Optional[int]): The same on all ranks; by default agreed on.
        **kwargs (Any): ``shuffle`` and ``round_up`` of MMEngine's
            ``DefaultSampler``, accepted and without meaning here.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        dataset: Sized,
        window: int = 8,
        seed: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        if window < 1:
            raise UserError(f'window must be at least 1, got {window}')
        self.shards = shard_numbers(dataset)
        self.window = window
        super().__init__(dataset, seed=seed, **{**kwargs, 'round_up': True})

    def __iter__(self) -> Iterator[int]:
        generator = np.random.Generator(
            np.random.PCG64([self.seed, self.epoch])
        )
        order = shard_order(self.shards, self.window, generator)
        start = self.rank * self.num_samples
        chosen = np.arange(start, start + self.num_samples) % len(order)
        return iter(order[chosen].tolist())
