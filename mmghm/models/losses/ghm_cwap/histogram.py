"""Gradient-norm histograms of the categories, and how they turn over."""

from typing import Any, Dict, Iterator, Optional

import torch
from torch import Tensor

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.checkpointed_state import CheckpointedState

from ..functional.intra_weight import (
    category_scale,
    region_terms,
    region_weight,
    scaled_weight,
)
from ..functional.regions import (
    adaptive_edges,
    density,
    equal_edges,
    find_region,
    uniform_histogram,
)
from .rank_sync import RankSync

# Counts are integers in units of 2**-20 example, so that sums of soft targets
# depend neither on the order nor on the number of ranks. A whole example adds
# a power of 2, which no float32 rounds.
UNITS_PER_EXAMPLE = 2**20
# Cells that are taken through all steps of an epoch's end at a time.
_CHUNK_CELLS = 2**17


class GradientHistogram(CheckpointedState):
    """The histogram of g of each category, with adaptive regions (AURA).

    State, saved in checkpoints, on every rank the same unless said otherwise:

    =================  ================  ======================================
    ``edges``          float32 (C, N+1)  in force for counting; reassigned by
                                         :meth:`close_epoch`
    ``counts``         int64 (C, N)      of the running epoch, in units of
                                         2**-20 example. This rank's unless the
                                         ranks share every step
    ``densities``      float32 (C, N)    v of the last finished epoch in which
                                         the category was seen, or the prior
    ``density_edges``  float32 (C, N+1)  edges they were counted on
    ``observed``       bool (C,)         they were counted, no prior
    ``num_epochs``     int64 ()          finished epochs
    =================  ================  ======================================

    Where the paper is silent: regions hold their lower edge, the last one also
    g = 1; an empty region weighs as one example; known class counts n give the
    prior ``v = n / N``; a category that an epoch did not show keeps its
    histogram.

    Args:
        num_classes (int): C.
        num_regions (int): N.
        alpha (float): Effectiveness factor in (0, 1].
        normalize (str): Scale of W, see :func:`category_scale`.
        adaptive (bool): Whether the widths are reassigned (algorithm 1).
        running (bool): Whether W comes from the running epoch's counts, or
            from the finished epoch's (1 until one is finished).
        sync (RankSync): How the ranks share counts.
    """

    edges: Tensor
    counts: Tensor
    densities: Tensor
    density_edges: Tensor
    observed: Tensor
    num_epochs: Tensor

    def __init__(
        self,
        num_classes: int,
        num_regions: int,
        alpha: float,
        normalize: str,
        adaptive: bool,
        running: bool,
        sync: RankSync,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_regions = num_regions
        self.alpha = alpha
        self.normalize = normalize
        self.adaptive = adaptive
        self.running = running
        self.sync = sync
        self._terms = CachedFunction(region_terms)
        self._applied_weights = CachedFunction(_applied_weights)
        size = (num_classes, num_regions)
        edges = equal_edges(num_regions).repeat(num_classes, 1)
        self.register_state('edges', edges)
        self.register_state('counts', torch.zeros(size, dtype=torch.int64))
        self.register_state('densities', torch.zeros(size))
        self.register_state('density_edges', edges.clone())
        self.register_state(
            'observed', torch.zeros(num_classes, dtype=torch.bool)
        )
        self.register_state('num_epochs', torch.zeros((), dtype=torch.int64))

    def set_prior(self, class_counts: Tensor) -> None:
        """Give categories that were never seen a uniform histogram.

        Args:
            class_counts (Tensor): n, int64 (C,).
        """
        for rows in self._row_chunks():
            densities, edges = uniform_histogram(
                class_counts[rows], self.num_regions
            )
            self._publish(rows, ~self.observed[rows], densities, edges)

    def find(self, target: Tensor, norm: Tensor) -> Tensor:
        """Find the cells of labelled examples on the edges in force.

        Args:
            target (Tensor): Class indices, int64 (B,).
            norm (Tensor): g, float32 (B,).

        Returns:
            Tensor: Places in a flat table C x N, int64 (B,).
        """
        return self._find(target, norm, self.edges)

    def count(self, cells: Tensor, valid: Tensor) -> None:
        """Count labelled examples.

        Args:
            cells (Tensor): Of :meth:`find`.
            valid (Tensor): bool (B,), whether to count each.
        """
        cells, valid = self.sync.gather_cells(cells, valid)
        added = valid * UNITS_PER_EXAMPLE
        self.counts.view(-1).scatter_add_(0, cells, added)

    def count_shares(self, norm: Tensor, target: Tensor) -> None:
        """Count shares of examples toward every category.

        Args:
            norm (Tensor): g toward each category, float32 (B, C).
            target (Tensor): Shares, floating (B, C).
        """
        region = find_region(norm.t(), self.edges)
        units = (target * norm.isfinite()).mul(UNITS_PER_EXAMPLE)
        added = torch.zeros_like(self.counts)
        added.scatter_add_(1, region, units.round().long().t())
        # Smaller than gathering B x C indices and shares of each rank.
        self.counts.add_(self.sync.sum_table(added))

    def weights(
        self, target: Tensor, norm: Tensor, cells: Tensor, counted: bool
    ) -> Tensor:
        """W of labelled examples, eq. (1).

        Args:
            target (Tensor): Class indices, int64 (B,).
            norm (Tensor): g, float32 (B,).
            cells (Tensor): Of :meth:`find`.
            counted (bool): Whether they were counted just now, so that none
                of their regions is empty.

        Returns:
            Tensor: float32 (B,).
        """
        if not self.running:
            cells = self._find(target, norm, self.density_edges)
            return self.region_weights.take(cells)
        terms = self._terms(self.edges, self.normalize)
        examples, lone, moment = self.counts, terms.lone_example, terms.moment
        # All categories' weights, or each example's, whichever are fewer.
        by_example = self.num_classes > len(target)
        if by_example:
            examples, lone, moment = (
                table.index_select(0, target)
                for table in (examples, lone, moment)
            )
        # Of units, not of examples: W is a ratio, in which the unit cancels.
        densities = examples * lone
        scale = category_scale(densities, moment, self.alpha, self.normalize)
        if by_example:
            region = (cells - target * self.num_regions).unsqueeze(1)
            own = densities.gather(1, region).squeeze(1)
        else:
            own = densities.take(cells)
            scale = scale.index_select(0, target)
        if counted:
            return scale * own.pow(-self.alpha)
        lone = terms.lone_example.take(cells) * UNITS_PER_EXAMPLE
        return scaled_weight(own, lone, scale, self.alpha)

    def share_weights(self, norm: Tensor) -> Tensor:
        """W that an example would have in each category.

        Args:
            norm (Tensor): g toward each category, float32 (B, C).

        Returns:
            Tensor: float32 (B, C).
        """
        edges = self.edges if self.running else self.density_edges
        region = find_region(norm.t(), edges)
        return self.region_weights.gather(1, region).t()

    @property
    def region_weights(self) -> Tensor:
        """W of each region as it is applied now, float32 (C, N).

        On ``edges`` if ``running``, else on ``density_edges``.
        """
        if self.running:
            densities = density(_examples(self.counts), self.edges)
            return region_weight(
                densities, self.edges, self.alpha, self.normalize
            )
        return self._applied_weights(
            self.densities,
            self.density_edges,
            self.num_epochs,
            self.alpha,
            self.normalize,
        )

    @property
    def finished_examples(self) -> Tensor:
        """Examples of each region in the last finished epoch, or of the prior.

        float32 (C, N), on ``density_edges``.
        """
        widths = self.density_edges.diff(dim=1)
        return self.densities * widths * self.num_regions

    @property
    def finished_weights(self) -> Tensor:
        """W by the last finished epoch, float32 (C, N), on ``density_edges``.

        As eq. (1) gives it, whether it acts or not.
        """
        return region_weight(
            self.densities, self.density_edges, self.alpha, self.normalize
        )

    @torch.no_grad()
    def close_epoch(self) -> None:
        """Sum over ranks, publish, reassign the regions (algorithm 1).

        Every category with counts gets them published as ``densities`` and, if
        ``adaptive``, new ``edges``; the others keep theirs. Then counting
        starts again. A collective call.
        """
        counts = self.sync.epoch_total(self.counts)
        any_seen = torch.zeros_like(self.num_epochs)
        for rows in self._row_chunks():
            examples, edges = _examples(counts[rows]), self.edges[rows]
            seen = examples.amax(dim=1) > 0
            densities = density(examples, edges)
            self._publish(rows, seen, densities, edges)
            self.observed[rows] |= seen
            if self.adaptive:
                _replace(edges, seen, adaptive_edges(densities))
            any_seen += seen.any()
        self.clear()
        self.num_epochs += any_seen > 0
        self.sync.begin_epoch()

    def clear(self) -> None:
        """Forget the running epoch, to begin it again."""
        self.counts.zero_()

    def gather_counts(self) -> Optional[Tensor]:
        """Collect what each rank has counted, for a checkpoint in an epoch.

        Returns:
            Optional[Tensor]: See :meth:`RankSync.gather_tables`.
        """
        return self.sync.gather_tables(self.counts)

    def restore_counts(self, tables: Tensor) -> None:
        """Go on from :meth:`gather_counts`, on any number of ranks.

        Args:
            tables (Tensor): int64 (ranks, C, N).
        """
        self.counts.copy_(self.sync.own_table(tables))

    @torch.no_grad()
    def summary(self) -> Dict[str, float]:
        """Figures of the last finished epoch, for the log.

        Returns:
            Dict[str, float]: ``weight_max`` and ``weight_mean``, the largest
            and mean W over its examples (as eq. (1) gives it, whether it acts
            or not), and ``occupied_regions``, the mean number of occupied
            regions over the categories that were counted. Empty if none was.
        """
        figures = torch.stack([self._sums(rows) for rows in self._row_chunks()])
        largest = float(figures[:, 0].max())
        weights, examples, regions, categories = figures[:, 1:].sum(0).tolist()
        if not categories:
            return {}
        return {
            'weight_max': largest,
            'weight_mean': weights / examples,
            'occupied_regions': regions / categories,
        }

    def _sums(self, rows: slice) -> Tensor:
        """Largest W; sums of W, examples, regions and categories; float64."""
        densities, edges = self.densities[rows], self.density_edges[rows]
        observed = self.observed[rows]
        occupied = (densities > 0) & observed.unsqueeze(1)
        weights = region_weight(densities, edges, self.alpha, self.normalize)
        examples = densities * edges.diff(dim=1) * occupied
        return torch.stack(
            [
                (weights * occupied).max(),
                (weights * examples).sum(),
                examples.sum(),
                occupied.sum(),
                observed.sum(),
            ]
        ).double()

    def _find(self, target: Tensor, norm: Tensor, edges: Tensor) -> Tensor:
        region = torch.searchsorted(
            self._terms(edges, self.normalize).interior.index_select(0, target),
            norm.unsqueeze(1),
            right=True,
        )
        return torch.add(region.squeeze(1), target, alpha=self.num_regions)

    def _publish(
        self, rows: slice, which: Tensor, densities: Tensor, edges: Tensor
    ) -> None:
        _replace(self.densities[rows], which, densities)
        _replace(self.density_edges[rows], which, edges)

    def _row_chunks(self) -> Iterator[slice]:
        """Parts of the categories: on a CPU so few that they stay in cache."""
        step = self.num_classes
        if self.densities.device.type == 'cpu':
            step = max(_CHUNK_CELLS // self.num_regions, 1)
        for start in range(0, self.num_classes, step):
            yield slice(start, start + step)

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        equal = equal_edges(self.num_regions).to(self.edges)
        if not self.adaptive and (self.edges != equal).any():
            # Saved by a run with adaptive regions: counted on other edges.
            self.edges.copy_(equal.expand_as(self.edges))
            self.clear()
        self.counts.copy_(self.sync.own_saved(self.counts))


def _examples(counts: Tensor) -> Tensor:
    """Numbers of examples, float32, exact for whole ones below 2**24."""
    return counts.float() / UNITS_PER_EXAMPLE


def _applied_weights(
    densities: Tensor,
    edges: Tensor,
    num_epochs: Tensor,
    alpha: float,
    normalize: str,
) -> Tensor:
    """W by the finished epoch; 1 until there is one."""
    weights = region_weight(densities, edges, alpha, normalize)
    return torch.where(num_epochs > 0, weights, 1.0)


def _replace(table: Tensor, which: Tensor, rows: Tensor) -> None:
    """Change some rows of a table in place."""
    torch.where(which.unsqueeze(1), rows, table, out=table)
