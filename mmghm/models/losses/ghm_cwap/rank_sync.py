"""How the ranks of a distributed training come to one histogram."""

from typing import Optional, Tuple

import torch
from mmengine.dist import (
    all_gather,
    all_reduce,
    get_dist_info,
    get_world_size,
)
from torch import Tensor


class RankSync:
    """Shares counts in every step, or once at the epoch's end.

    Args:
        every_step (bool): Whether each rank counts the examples of all ranks
            (4 bytes an example and step), or its own until the epoch ends.
    """

    def __init__(self, every_step: bool) -> None:
        self.every_step = every_step
        # Ranks gather batches padded to this size, agreed on at the first
        # step of an epoch.
        self._size = 0

    def begin_epoch(self) -> None:
        """Let the next step agree on a size anew."""
        self._size = 0

    def gather_cells(
        self, cells: Tensor, valid: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """Collect the histogram cells to count in this step.

        Args:
            cells (Tensor): This rank's, int64 (B,).
            valid (Tensor): bool (B,), whether to count each.

        Returns:
            Tuple[Tensor, Tensor]: The same of all ranks if they share every
            step, else these.

        Raises:
            ValueError: If the batch is longer than the longest first batch of
                the epoch, for which the ranks have made room.
        """
        if not self.every_step or get_world_size() == 1:
            return cells, valid
        if self._size == 0:
            # Once an epoch the ranks wait for each other to agree on a size,
            # so that batches of unequal length can be padded to it.
            size = torch.tensor(len(cells), device=cells.device)
            all_reduce(size, op='max')
            self._size = int(size)
        if len(cells) > self._size:
            raise ValueError(
                f'GHMCWAPLoss: a batch of {len(cells)} examples after this '
                f'epoch began with batches of at most {self._size} on every '
                "rank; put the largest batch first or use sync='epoch'"
            )
        padded = cells.new_full((self._size,), -1, dtype=torch.int32)
        padded[: len(cells)] = cells.masked_fill(~valid, -1)
        gathered = torch.cat(all_gather(padded)).long()
        return gathered.clamp(min=0), gathered >= 0

    def sum_table(self, added: Tensor) -> Tensor:
        """Add up what the ranks count in this step, as a table.

        Args:
            added (Tensor): This rank's, int64 (C, N); changed in place.

        Returns:
            Tensor: Of all ranks if they share every step, else this.
        """
        if self.every_step:
            all_reduce(added)
        return added

    def epoch_total(self, counts: Tensor) -> Tensor:
        """Counts of the epoch over all ranks, a collective call.

        Args:
            counts (Tensor): This rank's table, int64 (C, N).

        Returns:
            Tensor: int64 (C, N).
        """
        if self.every_step or get_world_size() == 1:
            return counts
        total = counts.clone()
        all_reduce(total)
        return total

    def gather_tables(self, counts: Tensor) -> Optional[Tensor]:
        """Collect every rank's table for a checkpoint, a collective call.

        Args:
            counts (Tensor): This rank's, int64 (C, N).

        Returns:
            Optional[Tensor]: int64 (ranks, C, N) on the CPU; None if each
            rank's table says it all.
        """
        if self.every_step:
            return None
        return torch.stack(all_gather(counts)).cpu()

    def own_table(self, tables: Tensor) -> Tensor:
        """Take this rank's part of :meth:`gather_tables`.

        Args:
            tables (Tensor): int64 (ranks, C, N). If the number of ranks has
                changed, rank 0 takes the sum.

        Returns:
            Tensor: int64 (C, N).
        """
        rank, world_size = get_dist_info()
        if len(tables) == world_size:
            return tables[rank]
        return tables.sum(0) * (rank == 0)

    def own_saved(self, counts: Tensor) -> Tensor:
        """Take this rank's part of the table that rank 0 has saved.

        Args:
            counts (Tensor): int64 (C, N).

        Returns:
            Tensor: int64 (C, N); zeros where rank 0's counts are not this
            rank's.
        """
        if self.every_step or get_dist_info()[0] == 0:
            return counts
        return torch.zeros_like(counts)
