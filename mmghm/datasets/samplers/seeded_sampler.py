"""Base of samplers whose order depends on seed and epoch alone."""

from typing import Any, Optional

from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmghm.utils.errors import UserError


class SeededSampler(Sampler):
    """Base of samplers that draw the same on every rank and take a part.

    Args:
        total (int): Samples an epoch over all ranks; each gets the same
            number of them, rounded up.
        seed (Optional[int]): The same on all ranks; by default agreed on.
        **kwargs (Any): ``shuffle`` and ``round_up`` of MMEngine's
            ``DefaultSampler``, accepted and without meaning here.

    Raises:
        ValueError: If an argument is unknown.
    """

    def __init__(
        self, total: int, seed: Optional[int] = None, **kwargs: Any
    ) -> None:
        unknown = set(kwargs) - {'shuffle', 'round_up'}
        if unknown:
            raise UserError(f'unknown arguments {sorted(unknown)}')
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()
        self.num_samples = -(-total // self.world_size)

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, as ``DistSamplerSeedHook`` does."""
        self.epoch = epoch
