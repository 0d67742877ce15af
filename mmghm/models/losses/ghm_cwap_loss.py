"""GHM-CWAP: gradient harmonising with category-wise adaptive precision."""

import warnings
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from mmengine.dist import (
    all_gather,
    all_reduce,
    get_dist_info,
    get_world_size,
)
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..utils.cached_terms import CachedTerms
from ..utils.compiling import is_compiling
from . import fused
from .base import Counts, check_choice, check_integer, check_number
from .cross_entropy import cross_entropy_and_softmax
from .gradient_histogram import (
    NORMALIZATIONS,
    RegionTerms,
    adaptive_edges,
    category_scale,
    density,
    effective_size,
    equal_edges,
    find_region,
    region_terms,
    region_weight,
    remap,
    scaled_weight,
    uniform_histogram,
)
from .margin import margin_cross_entropy_per_class, margin_terms
from .softmax_loss import SoftmaxLoss

# A soft target counts a share of an example. Shares are added up in integers,
# so that their sum depends neither on the order nor on the number of ranks.
SHARES_PER_EXAMPLE = 2**20
# Cells of the histograms that rebin() takes through all steps at a time.
CHUNK_CELLS = 2**17
HISTOGRAMS = ('previous', 'running', 'fading')
MARGIN_SIZES = ('histogram', 'class_counts')


@MODELS.register_module()
class GHMCWAPLoss(SoftmaxLoss):
    r"""Gradient harmonising with category-wise adaptive precision, eq. (3).

    "Solving the Long-Tailed Problem via Intra- and Inter-Category Balance"
    (Zhang et al. 2022):

    .. math::
        L = -\frac{1}{B} \sum_b W_{y,i(g)} \log
            \frac{e^{z_y}}{\sum_n e^{z_n + M_{y,n}}}

    with the margin M of eq. (2) and the weight W of eq. (1), which is looked
    up in the category's histogram of the gradient norm
    ``g = 1 - softmax(z + M_y)[y]``. Neither carries a gradient. Call
    :meth:`rebin` at the end of each epoch (``AURARebinHook`` does).

    State, saved in checkpoints, on every rank the same unless said otherwise:

    ===================  ================  ====================================
    ``edges``            float32 (C, N+1)  in force for counting; reassigned by
                                           :meth:`rebin`
    ``counts``           int64 (C, N)      examples of the running epoch, whole
                                           ones; cleared by :meth:`rebin`.
                                           This rank's under sync ``'epoch'``
                                           or histogram ``'previous'``, else
                                           of all ranks
    ``shares``           int64 (C, N)      shares of examples left over beside
                                           ``counts``, in 2**-20 examples
    ``values``           float32 (C, N)    v of the last finished epoch in which
                                           the category was seen, or the prior
    ``values_edges``     float32 (C, N+1)  edges ``values`` were counted on
    ``effective_sizes``  float32 (C,)      the margin's S; 0: not known
    ``published``        bool (C,)         ``values`` were counted, no prior
    ``num_rebins``       int64 ()          finished epochs
    ``class_counts``     int64 (C,)        the prior, 0 while unknown
    ===================  ================  ====================================

    Where the paper is silent: regions hold their lower edge, the last one
    also g = 1; an empty region weighs as one example; known class counts n
    give the prior ``v = n / N``; categories of effective size 0 neither give
    nor get a margin (a two-sided one takes them for as large as the others'
    mean); examples with NaN or infinite logits are not counted and have a NaN
    loss.

    Args:
        num_classes (int): C, the width of the logits.
        num_regions (int): N, unit regions per category.
        alpha (float): Effectiveness factor in (0, 1].
        gamma (float): Strength of the margin, at least 0.
        intra_balance (bool): Whether to weigh by W (eq. 1).
        inter_balance (bool): Whether to add the margin M (eq. 2).
        adaptive (bool): Whether :meth:`rebin` reassigns the widths (AURA,
            algorithm 1). False keeps them equal (URA).
        normalize (str): Scale of W, see :func:`region_weight`: ``'none'`` as
            printed, ``'regions'``, ``'mean'`` or ``'gradient'``.
        histogram (str): ``'previous'`` weighs by the finished epoch's
            histogram (W = 1 until one is finished), ``'running'`` by this
            epoch's counts, the present batch included, ``'fading'`` by both:
            the finished epoch's (or the prior), on the edges in force, counts
            for the part of the category that this epoch has not counted yet.
        max_weight (Optional[float]): Ceiling on W after its scaling.
        momentum (float): Share in [0, 1) that the histogram published before
            keeps when :meth:`rebin` publishes.
        adjusted_norm (bool): Whether g is taken from the logits with their
            margins, as printed, or from the raw ones.
        margin_size (str): S of the margin: ``'class_counts'``, those given or
            else counted in the last finished epoch, or ``'histogram'``, as
            printed.
        margin_alpha (Optional[float]): Exponent of the margin's S; None:
            ``alpha``, as printed.
        two_sided (bool): Whether the margin also holds against larger
            categories: eq. (2) without its minimum, as logit adjustment. False
            is eq. (2) as printed. The defaults of the four options of the
            margin make it Balanced Softmax.
        sync (str): For ``'running'`` and ``'fading'`` on several ranks:
            ``'step'`` weighs by the counts of all ranks, gathered in every
            step (4 bytes an example); ``'epoch'`` by the rank's own, summed
            in :meth:`rebin`.
            Under ``'step'`` all ranks must see the same kind of target
            (labels or shares) in a step.
        class_counts (Optional[Counts]): Training examples per class, see
            :class:`LongTailLoss`. Without them there is no margin until the
            first :meth:`rebin`.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.models import GHMCWAPLoss
        >>> loss = GHMCWAPLoss(num_classes=3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
        >>> int(loss.counts.sum())
        2
        >>> loss.rebin()
        >>> int(loss.counts.sum())
        0
    """

    edges: Tensor
    counts: Tensor
    shares: Tensor
    values: Tensor
    values_edges: Tensor
    effective_sizes: Tensor
    published: Tensor
    num_rebins: Tensor

    def __init__(
        self,
        num_classes: int,
        num_regions: int = 30,
        alpha: float = 0.9,
        gamma: float = 1.0,
        intra_balance: bool = True,
        inter_balance: bool = True,
        adaptive: bool = True,
        normalize: str = 'gradient',
        histogram: str = 'running',
        max_weight: Optional[float] = None,
        momentum: float = 0.0,
        adjusted_norm: bool = True,
        margin_size: str = 'class_counts',
        margin_alpha: Optional[float] = 1.0,
        two_sided: bool = True,
        sync: str = 'step',
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(
            num_classes, reduction=reduction, loss_weight=loss_weight
        )
        check_integer('num_regions', num_regions, minimum=1)
        check_number('alpha', alpha, minimum=0, maximum=1, open_minimum=True)
        check_number('gamma', gamma, minimum=0)
        check_choice('normalize', normalize, NORMALIZATIONS)
        check_choice('histogram', histogram, HISTOGRAMS)
        if max_weight is not None:
            check_number('max_weight', max_weight, minimum=0, open_minimum=True)
        check_number('momentum', momentum, minimum=0, maximum=1)
        if momentum == 1:
            raise ValueError('momentum must be below 1, got 1: no epoch counts')
        check_choice('margin_size', margin_size, MARGIN_SIZES)
        if margin_alpha is not None:
            check_number(
                'margin_alpha',
                margin_alpha,
                minimum=0,
                maximum=1,
                open_minimum=True,
            )
        check_choice('sync', sync, ('step', 'epoch'))
        self.num_regions = num_regions
        self.alpha = alpha
        self.gamma = gamma
        self.intra_balance = intra_balance
        self.inter_balance = inter_balance
        self.adaptive = adaptive
        self.normalize = normalize
        self.histogram = histogram
        self.max_weight = max_weight
        self.momentum = momentum
        self.adjusted_norm = adjusted_norm
        self.margin_size = margin_size
        self.two_sided = two_sided
        self.margin_alpha = alpha if margin_alpha is None else margin_alpha
        self.sync = sync
        # Whether W acts; AURARebinHook switches it by the epoch (`begin`).
        self.intra_active = True
        # Ranks gather batches padded to this size, agreed on at the first
        # step after a rebin.
        self._gather_size = 0
        # For the warning that nothing calls rebin().
        self._rebin_is_called = False
        self._examples_seen = 0
        # Whether `shares` may hold anything but zeros.
        self._has_shares = False
        self._margin_terms = CachedTerms(margin_terms)
        self._region_terms = CachedTerms(region_terms)

        size = (num_classes, num_regions)
        edges = equal_edges(num_regions).repeat(num_classes, 1)
        self.register_state('edges', edges)
        self.register_state('counts', torch.zeros(size, dtype=torch.int64))
        self.register_state('shares', torch.zeros(size, dtype=torch.int64))
        self.register_state('values', torch.zeros(size))
        self.register_state('values_edges', edges.clone())
        self.register_state('effective_sizes', torch.zeros(num_classes))
        self.register_state(
            'published', torch.zeros(num_classes, dtype=torch.bool)
        )
        self.register_state('num_rebins', torch.zeros((), dtype=torch.int64))
        self._install(class_counts)

    def set_class_counts(self, counts: Counts) -> None:
        """Install the prior: a uniform histogram ``v = n / N`` per category.

        Categories that were counted in a finished epoch keep their histogram.

        Args:
            counts (Counts): C non-negative integers, or the path of a file
                with one a line.

        Raises:
            TypeError: If the counts are not integers.
            ValueError: If there are not C counts, one is negative or all
                are 0.
        """
        super().set_class_counts(counts)
        absent = (self.class_counts == 0).nonzero().flatten().tolist()
        if absent:
            names = ', '.join(map(str, absent[:10]))
            more = f' and {len(absent) - 10} more' if len(absent) > 10 else ''
            warnings.warn(
                f'{type(self).__name__}: no training example of class {names}'
                f'{more}; no margin from or toward it until it is seen'
            )
        for rows in self._row_chunks():
            values, edges = uniform_histogram(
                self.class_counts[rows], self.num_regions
            )
            self._publish(rows, ~self.published[rows], values, edges)

    def margin(self) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Margin between the categories, eq. (2).

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: Of :func:`margin_terms`.
        """
        return self._margin_terms(
            self.effective_sizes,
            self.gamma * self.inter_balance,
            self.two_sided,
        )

    def weigh(
        self, losses: Tensor, logits: Tensor, target: Tensor
    ) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Find W, the factor of each example's cross-entropy (eq. 3).

        In training mode the examples are counted before W is read.

        Args:
            losses (Tensor): Cross-entropies of z + M_y, float32 (B,).
            logits (Tensor): z, shape (B, C).
            target (Tensor): Class indices, int64 (B,).

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: None, and W unless it
            is 1.
        """
        counts, weighs = self._counts_now, self._weighs_now
        if not (counts or weighs):
            return None, None
        with torch.no_grad():
            norm = self._label_norm(losses, logits, target)
            terms = self._terms(self.edges)
            cells = self._cells(norm, target, terms)
            if counts:
                self._count_labels(cells, norm == norm)
            if not weighs:
                return None, None
            if self.histogram == 'previous':
                terms = self._terms(self.values_edges)
                cells = self._cells(norm, target, terms)
            return None, self._cell_weights(cells, target, terms, counts)

    def _fused_losses(
        self,
        logits: Tensor,
        target: Tensor,
        rival: Optional[Tensor],
        own: Optional[Tensor],
    ) -> Tuple[Tensor, fused.RowStatistics, Optional[Tensor], Optional[Tensor]]:
        counts, weighs = self._counts_now, self._weighs_now
        if (
            self.histogram == 'previous'
            or (self.inter_balance and not self.adjusted_norm)
            or not (counts or weighs)
        ):
            return super()._fused_losses(logits, target, rival, own)
        terms = self._terms(self.edges)
        shared = self._counts_are_global and get_world_size() > 1
        losses, statistics, cells = fused.cross_entropy(
            logits,
            target,
            rival,
            own,
            terms,
            self.counts if counts and not shared else None,
        )
        assert cells is not None, 'there are terms'
        if counts and shared:
            self._count_labels(cells.clamp(min=0), cells >= 0)
        elif counts:
            self._warn_without_rebin(len(target))
        if not weighs:
            return losses, statistics, None, None
        if self.histogram == 'running' and not self._has_shares:
            weight = self._limit(
                fused.example_weights(
                    cells, self.counts, terms, self.alpha, self.normalize
                )
            )
        else:
            # A cell of their own category for examples that have none.
            cells = torch.maximum(cells, target * self.num_regions)
            weight = self._cell_weights(cells, target, terms, counts)
        return losses, statistics, None, weight

    @property
    def _counts_now(self) -> bool:
        return self.training and not _is_recomputed()

    @property
    def _weighs_now(self) -> bool:
        return self.intra_balance and self.intra_active

    def _label_norm(
        self, losses: Tensor, logits: Tensor, target: Tensor
    ) -> Tensor:
        """Gradient norm g of labelled examples, shape (B,)."""
        if not self.adjusted_norm and self.inter_balance:
            # NaN where the loss is, so that such examples are not counted.
            raw, _ = cross_entropy_and_softmax(logits, target)
            losses = raw + losses * 0
        # 1 - p without cancellation for well-fitted examples.
        return torch.expm1(-losses).neg_()

    def _cell_weights(
        self, cells: Tensor, target: Tensor, terms: RegionTerms, counted: bool
    ) -> Tensor:
        """W of labelled examples, of which the cells are known, (B,)."""
        # All categories' values, or each example's, whichever are fewer.
        by_example = self.num_classes > len(target)
        values = self._values(terms, target if by_example else None)
        moment = terms.moment
        if by_example:
            moment = moment.index_select(0, target)
        scale = category_scale(values, moment, self.alpha, self.normalize)
        if by_example:
            region = cells - target * self.num_regions
            own = values.gather(1, region.unsqueeze(1)).squeeze(1)
        else:
            own = values.take(cells)
            scale = scale.index_select(0, target)
        if counted and self.histogram != 'previous':
            # Counted just now, so that no region is empty.
            return self._limit(scale * own.pow(-self.alpha))
        lone_example = terms.lone_example.take(cells)
        return self._limit(scaled_weight(own, lone_example, scale, self.alpha))

    def example_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute ``W * CE(z + M_y, y)`` of each example, eq. (3).

        Args:
            logits (Tensor): z, float32 (B, C).
            target (Tensor): Class indices (B,), or shares (B, C), for which
                the expected loss over the classes is taken.

        Returns:
            Tensor: Shape (B,).
        """
        if target.dim() == 1:
            return self.label_losses(logits, target)
        gamma = self.gamma if self.inter_balance else 0.0
        losses = margin_cross_entropy_per_class(
            logits, self.effective_sizes, gamma, self.two_sided
        )
        # NaN wherever a logit is not finite, 0 elsewhere.
        raw = logits.detach()
        losses = losses + (
            raw.amin(1, keepdim=True) * 0 + raw.amax(1, keepdim=True) * 0
        )
        with torch.no_grad():
            norm_losses = losses
            if not self.adjusted_norm and self.inter_balance:
                norm_losses = losses * 0 - raw.log_softmax(dim=1)
            # Rounding may leave a loss a little below 0, and g must not be.
            norm = -torch.expm1(-norm_losses.clamp(min=0))
            if self._counts_now:
                self._count_shares(norm, target)
                self._warn_without_rebin(len(target))
            if self._weighs_now:
                edges = self._weight_edges
                region = find_region(norm.t(), edges)
                weight = self._weights().gather(1, region).t()
            else:
                weight = None
        if weight is not None:
            losses = losses * weight
        return (losses * target).sum(dim=1)

    @torch.no_grad()
    def rebin(self) -> None:
        """Close an epoch (algorithm 1): sum over ranks, publish, reassign.

        Every category with counts gets them published as ``values`` and, if
        ``adaptive``, new ``edges``; the others keep theirs. Then counting
        starts again. A collective call: every rank must make it.
        """
        counts, shares = self._epoch_counts()
        any_seen = torch.zeros_like(self.num_rebins)
        for rows in self._row_chunks():
            examples = counts[rows].float()
            if shares is not None:
                examples = _examples(counts[rows], shares[rows])
            any_seen += self._close_epoch(rows, examples)
        self.clear_counts()
        self.num_rebins += any_seen > 0
        self._gather_size = 0
        self._rebin_is_called = True

    def _close_epoch(self, rows: slice, examples: Tensor) -> Tensor:
        """Publish some categories' counts and reassign their edges.

        Returns whether any of them was seen.
        """
        edges = self.edges[rows]
        values = density(examples, edges)
        seen = examples.amax(dim=1) > 0
        if self.momentum:
            before = remap(self.values[rows], self.values_edges[rows], edges)
            values = torch.where(
                (self.published[rows] & seen).unsqueeze(1),
                values.lerp(before, self.momentum),
                values,
            )
        self._publish(rows, seen, values, edges)
        self.published[rows] |= seen
        if self.adaptive:
            _replace(edges, seen, adaptive_edges(values))
        return seen.any()

    def clear_counts(self) -> None:
        """Forget the running epoch, to begin it again."""
        self.counts.zero_()
        self.shares.zero_()
        self._has_shares = False

    def gather_counts(self) -> Optional[Tensor]:
        """Collect what each rank has counted, for a checkpoint in an epoch.

        A collective call unless every rank counts the examples of all.

        Returns:
            Optional[Tensor]: int64 (ranks, C, N), in shares of an example;
            None if ``counts`` and ``shares`` say it all.
        """
        if self._counts_are_global:
            return None
        return torch.stack(all_gather(self._units())).cpu()

    def restore_counts(self, parts: Tensor) -> None:
        """Go on from :meth:`gather_counts`, on any number of ranks.

        Args:
            parts (Tensor): int64 (ranks, C, N). Each rank takes its own; if
                their number has changed, rank 0 takes the sum.
        """
        rank, world_size = get_dist_info()
        if len(parts) == world_size:
            own = parts[rank]
        else:
            own = parts.sum(0) * (rank == 0)
        self.counts.copy_(own // SHARES_PER_EXAMPLE)
        self.shares.copy_(own % SHARES_PER_EXAMPLE)
        self._has_shares = bool(self.shares.any())

    @property
    def region_weights(self) -> Tensor:
        """W as it would be applied to the next example, shape (C, N).

        On ``values_edges`` under ``histogram='previous'``, else on ``edges``.
        """
        if not self._weighs_now:
            return torch.ones_like(self.values)
        return self._weights()

    def summary(self) -> Dict[str, float]:
        """Figures of the last finished epoch's histograms, for the log.

        Returns:
            Dict[str, float]: ``weight_max`` and ``weight_mean``, the largest
            and mean W over its examples (as eq. (1) gives it, whether it acts
            or not), and ``occupied_regions``, the mean number of occupied
            regions over the categories that were counted.
        """
        parts = [self._summary_of(rows) for rows in self._row_chunks()]
        figures = torch.stack(parts)
        largest = float(figures[:, 0].max())
        weights, examples, regions, categories = figures[:, 1:].sum(0).tolist()
        if not categories:
            return {}
        return {
            'weight_max': largest,
            'weight_mean': weights / examples,
            'occupied_regions': regions / categories,
        }

    def _summary_of(self, rows: slice) -> Tensor:
        """Largest W and sums of W, examples, regions, categories; float64."""
        values, edges = self.values[rows], self.values_edges[rows]
        published = self.published[rows]
        occupied = (values > 0) & published.unsqueeze(1)
        weights = self._limit(
            region_weight(values, edges, self.alpha, self.normalize)
        )
        examples = values * edges.diff(dim=1) * occupied
        return torch.stack(
            [
                (weights * occupied).max(),
                (weights * examples).sum(),
                examples.sum(),
                occupied.sum(),
                published.sum(),
            ]
        ).double()

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        names = (
            'num_regions',
            'alpha',
            'gamma',
            'intra_balance',
            'inter_balance',
            'adaptive',
            'normalize',
            'histogram',
            'max_weight',
            'momentum',
            'adjusted_norm',
            'margin_size',
            'margin_alpha',
            'two_sided',
            'sync',
        )
        settings = ', '.join(f'{n}={getattr(self, n)!r}' for n in names)
        return f'{super().extra_repr()}, {settings}'

    @property
    def _counts_are_global(self) -> bool:
        """Whether every rank counts the examples of all ranks."""
        return self.histogram != 'previous' and self.sync == 'step'

    def _row_chunks(self) -> Iterator[slice]:
        """Parts of the categories: on a CPU so few that they stay in cache."""
        step = self.num_classes
        if self.values.device.type == 'cpu':
            step = max(CHUNK_CELLS // self.num_regions, 1)
        for start in range(0, self.num_classes, step):
            yield slice(start, start + step)

    def _publish(
        self, rows: slice, which: Tensor, values: Tensor, edges: Tensor
    ) -> None:
        """Install histograms of those of some categories that are chosen."""
        _replace(self.values[rows], which, values)
        _replace(self.values_edges[rows], which, edges)
        values, edges = self.values[rows], self.values_edges[rows]
        if self.margin_size == 'histogram':
            sizes = effective_size(values, self.margin_alpha)
        else:
            # n, spread evenly over the regions: v = n / N.
            counted = torch.linalg.vecdot(values, edges.diff(dim=1))
            given = self.class_counts[rows] / self.num_regions
            mean = torch.where(given > 0, given, counted)
            sizes = self.num_regions * mean.pow(self.margin_alpha)
        self.effective_sizes[rows] = sizes

    def _terms(self, edges: Tensor) -> RegionTerms:
        return self._region_terms(edges, self.normalize)

    def _cells(
        self, norm: Tensor, target: Tensor, terms: RegionTerms
    ) -> Tensor:
        """Cells of labelled examples in a flat table C x N, int64 (B,)."""
        region = torch.searchsorted(
            terms.interior.index_select(0, target),
            norm.unsqueeze(1),
            right=True,
        )
        return torch.add(region.squeeze(1), target, alpha=self.num_regions)

    def _count_labels(self, cells: Tensor, valid: Tensor) -> None:
        """Add a labelled batch to ``counts``."""
        self._warn_without_rebin(len(cells))
        added = valid.long()
        if self._counts_are_global and get_world_size() > 1:
            cells = self._gather(cells.masked_fill(~valid, -1))
            added = (cells >= 0).long()
            cells = cells.clamp(min=0)
        self.counts.view(-1).scatter_add_(0, cells, added)

    def _count_shares(self, norm: Tensor, target: Tensor) -> None:
        """Add a batch of shares to ``counts`` and ``shares``."""
        region = find_region(norm.t(), self.edges)
        valid = norm.isfinite()
        units = (target * valid).mul(SHARES_PER_EXAMPLE).round().long().t()
        added = torch.zeros_like(self.shares)
        added.scatter_add_(1, region, units)
        if self._counts_are_global:
            # Smaller than gathering B x C indices and shares of each rank.
            all_reduce(added)
        self.shares.add_(added)
        self.counts.add_(self.shares // SHARES_PER_EXAMPLE)
        self.shares.remainder_(SHARES_PER_EXAMPLE)
        self._has_shares = True

    def _gather(self, index: Tensor) -> Tensor:
        """Gather the (category, region) indices of all ranks' batches."""
        if self._gather_size == 0:
            # Once an epoch the ranks wait for each other to agree on a size,
            # so that batches of unequal length can be padded to it.
            size = torch.tensor(len(index), device=index.device)
            all_reduce(size, op='max')
            self._gather_size = int(size)
        if len(index) > self._gather_size:
            raise ValueError(
                f'{type(self).__name__}: a batch of {len(index)} examples '
                f'after this epoch began with batches of at most '
                f'{self._gather_size} on every rank; put the largest batch '
                "first or use sync='epoch'"
            )
        padded = index.new_full((self._gather_size,), -1, dtype=torch.int32)
        padded[: len(index)] = index
        return torch.cat(all_gather(padded)).long()

    def _epoch_counts(self) -> Tuple[Tensor, Optional[Tensor]]:
        """Counts, and shares if there are any, of the epoch over all ranks."""
        if self._counts_are_global or get_world_size() == 1:
            return self.counts, self.shares if self._has_shares else None
        units = self._units()
        all_reduce(units)
        return units // SHARES_PER_EXAMPLE, units % SHARES_PER_EXAMPLE

    def _units(self) -> Tensor:
        """This rank's counts in one table; below 2**43 examples a region."""
        return self.counts * SHARES_PER_EXAMPLE + self.shares

    @property
    def _weight_edges(self) -> Tensor:
        return self.values_edges if self.histogram == 'previous' else self.edges

    def _weights(self) -> Tensor:
        """W of all regions, shape (C, N)."""
        edges = self._weight_edges
        values = self._values(self._terms(edges))
        return self._limit(
            region_weight(values, edges, self.alpha, self.normalize)
        )

    def _values(
        self, terms: RegionTerms, rows: Optional[Tensor] = None
    ) -> Tensor:
        """Densities by which some categories' examples weigh, (rows, N)."""

        def choose(table: Tensor) -> Tensor:
            return table if rows is None else table.index_select(0, rows)

        if self.histogram == 'previous':
            return choose(self.values)
        examples = choose(self.counts)
        if self._has_shares or is_compiling():
            examples = _examples(examples, choose(self.shares))
        values = examples * choose(terms.lone_example)
        if self.histogram == 'fading':
            edges = choose(self.edges)
            before = remap(
                choose(self.values), choose(self.values_edges), edges
            )
            total = (before * edges.diff(dim=1)).sum(dim=1) * self.num_regions
            # The part of the category that this epoch has not counted yet.
            tiny = torch.finfo(total.dtype).tiny
            left = 1 - examples.sum(dim=1) / total.clamp(min=tiny)
            left = torch.where(left > 1e-6, left, 0.0)
            values = values + before * left.unsqueeze(1)
        return values

    def _limit(self, weights: Tensor) -> Tensor:
        """Apply what bounds W beside eq. (1)."""
        if self.max_weight is not None:
            weights = weights.clamp(max=self.max_weight)
        if self.histogram == 'previous':
            weights = torch.where(self.num_rebins > 0, weights, 1.0)
        return weights

    def _warn_without_rebin(self, batch_size: int) -> None:
        """Warn once if training runs into its second epoch without rebin."""
        # Not under torch.compile: a changing attribute would recompile, even
        # if it were only read.
        if is_compiling() or self._rebin_is_called:
            return
        self._examples_seen += batch_size * get_world_size()
        if self.has_class_counts:
            second_epoch = self._examples_seen >= 2 * self._num_examples
        else:
            hub = MessageHub.get_current_instance()
            second_epoch = hub.get_info('epoch', 0) >= 1
        if second_epoch:
            self._rebin_is_called = True
            warnings.warn(
                f'{type(self).__name__}: {self._examples_seen} examples were '
                'counted and nothing has called rebin(), so the histograms '
                "never become final. Add dict(type='AURARebinHook') to "
                "custom_hooks, or call loss.rebin() at each epoch's end"
            )

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._rebin_is_called = bool(self.num_rebins)
        self._has_shares = bool(self.shares.any())
        equal = equal_edges(self.num_regions).to(self.edges)
        if not self.adaptive and not torch.equal(
            self.edges, equal.expand_as(self.edges)
        ):
            # Saved by a run with adaptive regions: counted on other edges.
            self.edges.copy_(equal)
            self.counts.zero_()
            self.shares.zero_()
            self._has_shares = False
        if not self._counts_are_global and get_dist_info()[0] > 0:
            # A checkpoint is written by rank 0, whose counts it holds.
            self.counts.zero_()
            self.shares.zero_()


def histogram_losses(model: nn.Module) -> List[GHMCWAPLoss]:
    """Find the losses of a model that have histograms.

    Args:
        model (nn.Module): A model, wrapped or compiled or not.

    Returns:
        List[GHMCWAPLoss]: In the order of its modules.
    """
    return [m for m in model.modules() if isinstance(m, GHMCWAPLoss)]


def _replace(table: Tensor, which: Tensor, rows: Tensor) -> None:
    """Change some rows of a table in place."""
    torch.where(which.unsqueeze(1), rows, table, out=table)


def _examples(counts: Tensor, shares: Tensor) -> Tensor:
    """Whole examples and shares of them as one float32 number."""
    return counts.float() + shares.float() / SHARES_PER_EXAMPLE


def _is_recomputed() -> bool:
    """Whether activation checkpointing repeats a forward in the backward."""
    if is_compiling():
        return False
    return torch._C._current_graph_task_id() != -1
