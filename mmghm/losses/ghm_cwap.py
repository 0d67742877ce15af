"""GHM-CWAP: gradient harmonising with category-wise adaptive precision."""

import warnings
from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmghm.utils.validation import check_choice, check_integer, check_number

from .base import ClassCountLoss, expected_losses, sum_over_ranks, world_size
from .functional import (
    NORMALIZATIONS,
    adaptive_edges,
    add_margin,
    balanced_margin_term,
    density,
    effective_size,
    eq2_margin_terms,
    equal_edges,
    find_region,
    gradient_norm,
    intra_weights,
    margin_cross_entropy_per_class,
)
from .input_checks import Counts

MARGINS = ('paper', 'balanced', 'none')
# Counts are integers in units of 2**-20 example, so that sums of soft targets
# depend neither on the order nor on the number of ranks.
UNITS_PER_EXAMPLE = 2**20


class GHMCWAPLoss(ClassCountLoss):
    r"""Gradient harmonising with category-wise adaptive precision, eq. (3).

    "Solving the Long-Tailed Problem via Intra- and Inter-Category Balance"
    (Zhang et al. 2022):

    .. math::
        L = -\frac{1}{B} \sum_b W_{y,i(g)} \log
            \frac{e^{z_y}}{\sum_n e^{z_n + M_{y,n}}}

    with the margin M of eq. (2) and the weight W of eq. (1), which is looked
    up in the category's histogram of the gradient norm
    ``g = 1 - softmax(z + M_y)[y]``, as the finished epoch has counted it
    (algorithm 1). Neither carries a gradient. Call :meth:`rebin` at the end of
    each epoch; ``AURARebinHook`` does.

    By default this is the paper, but for two things:

    ======================  ===================  ==============================
    what                    the paper            here, by default
    ======================  ===================  ==============================
    S, eq. (1), eq. (2),    as printed           as printed
    eq. (3), algorithm 1
    alpha, gamma, N         0.9, 0.8, 30         the same
    scale of W              W = S / v ** alpha   a category keeps its total
                                                 gradient (``normalize``)
    when W begins           not said             after 0.8 of the epochs
                                                 (``AURARebinHook(begin=0.8)``)
    ======================  ===================  ==============================

    ``normalize='none'`` with ``AURARebinHook(begin=0)`` changes nothing; at
    the usual learning rate of 0.1 its gradients are too large to train.
    ``margin='balanced', gamma=1.0`` is this project's variant: Balanced
    Softmax with W.

    Where the paper is silent: a region holds its lower edge, the last one also
    g = 1; an image in an empty region has the weight of a region with a single one; before a
    category has been counted in an epoch its W is 1, and its S that of its
    class count spread evenly over the regions; without class counts it has no
    margin until then; a category that an epoch did not show keeps its
    histogram; examples with a NaN loss are not counted.

    State, the same on every rank at every moment:

    ===================  ================  ====================================
    ``edges``            float32 (C, N+1)  regions that are being counted in
    ``counts``           int64 (C, N)      of the running epoch, in units of
                                           2**-20 example
    ``finished_edges``   float32 (C, N+1)  regions of the last epoch in which
                                           the category was seen
    ``finished_counts``  int64 (C, N)      its counts, in the same units
    ``weights``          float32 (C, N)    W on ``finished_edges``
    ``rival``, ``own``   float32 (C,)      M, see :func:`.eq2_margin_terms`
    ===================  ================  ====================================

    All change in :meth:`rebin` alone, but for M, which new class counts change
    as well, and for ``counts``, to which each forward in training mode adds
    the examples of all ranks. Class counts are not saved, see
    :class:`ClassCountLoss`.

    Args:
        num_classes (int): C, the width of the logits.
        num_regions (int): N, unit regions of each category.
        alpha (float): Effectiveness factor in (0, 1].
        gamma (float): Strength of the margin, at least 0.
        margin (str): ``'paper'``, eq. (2): no margin against larger
            categories, and S from the histograms; ``'balanced'``: without the
            minimum and with the class counts for S, which is Balanced Softmax
            where gamma is 1; ``'none'``.
        intra_balance (bool): Whether to weight by W, eq. (1).
        adaptive (bool): Whether :meth:`rebin` reassigns the widths (AURA,
            algorithm 1). False keeps them equal (URA).
        normalize (str): Scale of W, see :func:`.functional.intra_weights`.
        class_counts (Optional[Counts]): Training images of each class: C
            integers, or the path of a file with one a line. None leaves it to
            a hook.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight (float): Factor of the loss.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> from mmghm.losses import GHMCWAPLoss
        >>> loss = GHMCWAPLoss(num_classes=3, class_counts=[90, 9, 1])
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> loss(logits, torch.tensor([0, 2])).shape
        torch.Size([])
        >>> loss.rebin()
        >>> loss.finished_examples.sum(dim=1)
        tensor([1., 0., 1.])
    """

    edges: Tensor
    counts: Tensor
    finished_edges: Tensor
    finished_counts: Tensor
    weights: Tensor
    rival: Tensor
    own: Tensor

    def __init__(
        self,
        num_classes: int,
        num_regions: int = 30,
        alpha: float = 0.9,
        gamma: float = 0.8,
        margin: str = 'paper',
        intra_balance: bool = True,
        adaptive: bool = True,
        normalize: str = 'gradient',
        class_counts: Optional[Counts] = None,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(num_classes, reduction, loss_weight)
        check_integer('num_regions', num_regions, minimum=1)
        check_number('alpha', alpha, minimum=0, maximum=1, open_minimum=True)
        check_number('gamma', gamma, minimum=0)
        check_choice('margin', margin, MARGINS)
        check_choice('normalize', normalize, NORMALIZATIONS)
        self.num_regions = num_regions
        self.alpha = alpha
        self.gamma = gamma
        self.margin = margin
        self.intra_balance = intra_balance
        self.adaptive = adaptive
        self.normalize = normalize
        # AURARebinHook switches it by the epoch (`begin`).
        self.weights_active = True
        # Whether somebody calls rebin(); AURARebinHook sets it, too.
        self.rebin_scheduled = False
        self._examples_seen = 0
        self.register_state()
        self.init_class_counts(class_counts)

    def initial_state(self) -> Dict[str, Tensor]:
        """Equal regions, nothing counted, W = 1."""
        size = (self.num_classes, self.num_regions)
        edges = equal_edges(self.num_regions).repeat(self.num_classes, 1)
        return dict(
            edges=edges,
            counts=torch.zeros(size, dtype=torch.int64),
            finished_edges=edges.clone(),
            finished_counts=torch.zeros(size, dtype=torch.int64),
            weights=torch.ones(size),
            rival=torch.zeros(self.num_classes),
            own=torch.zeros(self.num_classes),
        )

    def reset_state(self) -> None:
        """Forget what training has counted; class counts stay."""
        super().reset_state()
        self._publish_margin()

    def set_class_counts(self, counts: Counts) -> None:
        """Tell the loss how many training images each class has."""
        super().set_class_counts(counts)
        self._publish_margin()

    @torch.no_grad()
    def _publish_margin(self) -> None:
        """Set M by what is known of the categories' sizes, eq. (2)."""
        examples = self.finished_examples
        if self.margin == 'balanced':
            known = self.class_counts > 0
            sizes = torch.where(known, self.class_counts, examples.sum(dim=1))
            self.rival.copy_(balanced_margin_term(sizes, self.gamma))
        elif self.margin == 'paper':
            seen = examples.sum(dim=1, keepdim=True) > 0
            evenly = (self.class_counts / self.num_regions).unsqueeze(1)
            values = density(examples, self.finished_edges)
            values = torch.where(seen, values, evenly)
            sizes = effective_size(values, self.alpha)
            rival, own = eq2_margin_terms(sizes, self.gamma)
            self.rival.copy_(rival)
            self.own.copy_(own)

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute CE(z + M_y, y) and W of each example, eq. (3).

        For soft targets it is the expected loss over the classes, each of
        which counts its part of the example.
        """
        if self.margin == 'balanced':
            logits = logits + self.rival
        if target.dim() == 1:
            target = target.long()
            if self.margin == 'paper':
                logits = add_margin(logits, target, self.rival, self.own)
            losses = F.cross_entropy(logits, target, reduction='none')
            return losses, self._count_and_weight(losses.detach(), target)
        if self.margin == 'paper':
            losses = margin_cross_entropy_per_class(
                logits, self.rival, self.own
            )
        else:
            losses = -logits.log_softmax(dim=1)
        target = self._count_and_weight_soft(losses.detach(), target)
        return expected_losses(losses, target), None

    def _count_and_weight(
        self, losses: Tensor, target: Tensor
    ) -> Optional[Tensor]:
        """Count labelled examples, and look up W, eq. (1)."""
        norm = gradient_norm(losses).unsqueeze(1)
        # Place of a category's first region in a flat table C x N.
        first = target.unsqueeze(1) * self.num_regions
        if self._counts_now():
            edges = self.edges[:, 1:-1].index_select(0, target)
            # NaN is not counted.
            units = (norm == norm) * UNITS_PER_EXAMPLE
            self._count(0, first + find_region(norm, edges), units)
        if not (self.intra_balance and self.weights_active):
            return None
        edges = self.finished_edges[:, 1:-1].index_select(0, target)
        return self.weights.take(first + find_region(norm, edges)).squeeze(1)

    def _count_and_weight_soft(self, losses: Tensor, target: Tensor) -> Tensor:
        """Count parts of examples, and multiply soft targets by W, eq. (1)."""
        norm = gradient_norm(losses).t()
        if self._counts_now():
            region = find_region(norm, self.edges[:, 1:-1])
            valid = (norm == norm).all(dim=0)
            units = target.t() * valid * UNITS_PER_EXAMPLE
            self._count(1, region, units.round().long())
        if not (self.intra_balance and self.weights_active):
            return target
        region = find_region(norm, self.finished_edges[:, 1:-1])
        return target * self.weights.gather(1, region).t()

    def _counts_now(self) -> bool:
        if not self.training or torch.compiler.is_compiling():
            return self.training
        # Activation checkpointing repeats a forward inside the backward.
        return torch._C._current_graph_task_id() == -1

    def _count(self, dim: int, index: Tensor, units: Tensor) -> None:
        """Add what all ranks count in this step.

        ``index`` holds places in the flat table (dim 0), or the regions of
        each category (dim 1).
        """
        alone = world_size() == 1
        counts = self.counts if alone else torch.zeros_like(self.counts)
        table = counts if dim else counts.view(-1, 1)
        table.scatter_add_(dim, index, units)
        if not alone:
            self.counts.add_(sum_over_ranks(counts))
        # Under torch.compile a changing attribute would compile again.
        if not (torch.compiler.is_compiling() or self.rebin_scheduled):
            self._examples_seen += index.size(dim) * world_size()
            self._warn_if_something_is_missing()

    def _warn_if_something_is_missing(self) -> None:
        if not self.has_class_counts and self.margin != 'none':
            missing = 'no class counts are known, so that there is no margin'
        elif self._examples_seen > 2 * self._num_images > 0:
            missing = (
                f'{self._examples_seen} examples were counted and nothing has '
                'called rebin(), so that W stays 1'
            )
        else:
            return
        # Once.
        self.rebin_scheduled = True
        warnings.warn(
            f"{type(self).__name__}: {missing}; add dict(type='AURARebinHook') "
            'to custom_hooks, or give class_counts=[...] and call rebin() at '
            "each epoch's end"
        )

    @torch.no_grad()
    def rebin(self) -> None:
        """Finish an epoch: publish W and S, reassign the regions (algorithm 1).

        Categories that were not counted keep what they have.
        """
        seen = self.counts.sum(dim=1, keepdim=True) > 0
        examples = self.counts.float() / UNITS_PER_EXAMPLE
        values = density(examples, self.edges)
        weights = intra_weights(values, self.edges, self.alpha, self.normalize)
        for table, new in (
            (self.finished_counts, self.counts),
            (self.finished_edges, self.edges),
            (self.weights, weights),
        ):
            table.copy_(torch.where(seen, new, table))
        if self.adaptive:
            edges = adaptive_edges(values)
            self.edges.copy_(torch.where(seen, edges, self.edges))
        self._publish_margin()
        self.clear()
        self.rebin_scheduled = True

    def clear(self) -> None:
        """Forget what the running epoch has counted, to begin it again."""
        self.counts.zero_()

    @property
    def finished_examples(self) -> Tensor:
        """Examples in each region of the last finished epoch, float32 (C, N).

        On ``finished_edges``.
        """
        return self.finished_counts.float() / UNITS_PER_EXAMPLE

    @torch.no_grad()
    def summary(self) -> Dict[str, float]:
        """Figures of the last finished epoch, for the log.

        Returns:
            Dict[str, float]: ``weight_max`` and ``weight_mean``, the largest
            and the mean W over the examples, whether it acts or not, and
            ``occupied_regions``, their mean number in the categories that
            were counted. Empty before an epoch is finished.
        """
        examples = self.finished_examples
        occupied = examples > 0
        if not occupied.any():
            return {}
        weights = self.weights * occupied
        return {
            'weight_max': float(weights.max()),
            'weight_mean': float((weights * examples).sum() / examples.sum()),
            'occupied_regions': float(
                occupied.sum() / occupied.any(dim=1).sum()
            ),
        }

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that is left once the margin carries the rest.

        W changes which examples matter inside a category and is left out.

        Args:
            class_counts (Tensor): n, training images of each class, (C,).

        Returns:
            Optional[Tensor]: ``n ** (1 - gamma)`` with the balanced margin,
            n without a margin, float64 (C,); None with eq. (2)'s, whose
            minimum keeps part of the prior.
        """
        if self.margin == 'paper':
            return None
        power = 0.0 if self.margin == 'none' else self.gamma
        return class_counts.clamp(min=1).double() ** (1 - power)

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        return (
            f'{super().extra_repr()}, num_regions={self.num_regions}, '
            f'alpha={self.alpha}, gamma={self.gamma}, margin={self.margin!r}, '
            f'intra_balance={self.intra_balance}, adaptive={self.adaptive}, '
            f'normalize={self.normalize!r}'
        )


def histogram_losses(model: nn.Module) -> List[GHMCWAPLoss]:
    """Find the losses of a model that have histograms.

    Args:
        model (nn.Module): A model, wrapped or compiled or not.

    Returns:
        List[GHMCWAPLoss]: In the order of its modules.
    """
    return [m for m in model.modules() if isinstance(m, GHMCWAPLoss)]
