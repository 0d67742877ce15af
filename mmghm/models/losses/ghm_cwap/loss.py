"""GHM-CWAP: gradient harmonising with category-wise adaptive precision."""

import warnings
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.dist import get_world_size
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmghm.utils.cached_function import CachedFunction
from mmghm.utils.compiling import is_compiling
from mmghm.utils.validation import check_choice, check_integer, check_number

from ..base import ClassCountLoss
from ..functional.intra_weight import NORMALIZATIONS, gradient_norm
from ..functional.margin import (
    MARGINS,
    margin_cross_entropy_per_class,
    margin_terms,
)
from ..input_checks import Counts
from ..ops import adjusted_cross_entropy, spoil
from .histogram import GradientHistogram
from .rank_sync import RankSync

HISTOGRAMS = ('previous', 'running')


@MODELS.register_module()
class GHMCWAPLoss(ClassCountLoss):
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

    State, saved in checkpoints: that of ``histogram``, see
    :class:`GradientHistogram`, and ``class_counts``.

    Where the paper is silent, beside :class:`GradientHistogram`: categories of
    which no example is known neither give nor get a margin (a balanced one
    takes them for as large as the others' mean); examples with NaN or infinite
    logits are not counted and have a NaN loss.

    Args:
        num_classes (int): C, the width of the logits.
        num_regions (int): N, unit regions per category.
        alpha (float): Effectiveness factor in (0, 1].
        gamma (float): Strength of the margin, at least 0.
        intra_balance (bool): Whether to weigh by W (eq. 1).
        adaptive (bool): Whether :meth:`rebin` reassigns the widths (AURA,
            algorithm 1). False keeps them equal (URA).
        normalize (str): Scale of W, see :func:`category_scale`: ``'none'`` as
            printed, ``'regions'``, ``'mean'`` or ``'gradient'``.
        histogram (str): ``'previous'`` weighs by the finished epoch's
            histogram (W = 1 until one is finished), ``'running'`` by this
            epoch's counts, the present batch included.
        margin (str): ``'paper'``, eq. (2) as printed: against larger
            categories there is none, and S comes from the histograms;
            ``'balanced'``, without the minimum and with S from the class
            counts, which is Balanced Softmax where gamma is 1; ``'none'``.
        sync (str): For ``'running'`` on several ranks: ``'step'`` weighs by
            the counts of all ranks, gathered in every step (4 bytes an
            example); ``'epoch'`` by the rank's own, summed in :meth:`rebin`.
            Under ``'step'`` all ranks must see the same kind of target
            (labels or shares) in a step.
        class_counts (Optional[Counts]): Training examples per class, see
            :class:`ClassCountLoss`. Without them there is no margin until the
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
        >>> loss.rebin()
        >>> int(loss.histogram.num_epochs)
        1
    """

    def __init__(
        self,
        num_classes: int,
        num_regions: int = 30,
        alpha: float = 0.9,
        gamma: float = 1.0,
        intra_balance: bool = True,
        adaptive: bool = True,
        normalize: str = 'gradient',
        histogram: str = 'running',
        margin: str = 'balanced',
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
        check_choice('margin', margin, MARGINS)
        check_choice('sync', sync, ('step', 'epoch'))
        self.gamma = gamma
        self.intra_balance = intra_balance
        self.margin = margin
        # AURARebinHook switches it by the epoch (`begin`).
        self.weights_active = True
        # For the warning that nothing calls rebin().
        self._rebin_is_called = False
        self._examples_seen = 0
        self._margin_terms = CachedFunction(margin_terms)
        running = histogram == 'running'
        self.histogram = GradientHistogram(
            num_classes,
            num_regions,
            alpha,
            normalize,
            adaptive,
            running,
            RankSync(every_step=running and sync == 'step'),
        )
        if class_counts is not None:
            self.set_class_counts(class_counts)

    def set_class_counts(self, counts: Counts) -> None:
        """Install class counts, and the prior histograms that follow.

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
        self.histogram.set_prior(self.class_counts)

    def margin_terms(self) -> Tuple[Optional[Tensor], Optional[Tensor]]:
        """Margin between the categories, eq. (2), as it is now.

        Returns:
            Tuple[Optional[Tensor], Optional[Tensor]]: Of :func:`margin_terms`.
        """
        return self._margin_terms(
            self.histogram.densities,
            self.histogram.density_edges,
            self.class_counts,
            self.margin,
            self.histogram.alpha,
            self.gamma,
        )

    def weighted_losses(
        self, logits: Tensor, target: Tensor
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Compute CE(z + M_y, y) and W of each example, eq. (3).

        In training mode the examples are counted before W is read. For shares
        it is the expected loss over the classes, each of which counts its
        share of the example.

        Args:
            logits (Tensor): z, shape (B, C), any floating dtype.
            target (Tensor): int64 (B,) or floating (B, C), checked.

        Returns:
            Tuple[Tensor, Optional[Tensor]]: float32 (B,) each; no weights
            while W does not act, and for shares, whose losses hold it.
        """
        if target.dim() == 1:
            target = target.long()
            losses = adjusted_cross_entropy(
                logits, target, *self.margin_terms()
            )
            return losses, self._count_and_weigh(target, losses.detach())
        logits = logits.float()
        losses = margin_cross_entropy_per_class(logits, *self.margin_terms())
        losses = losses + spoil(logits).unsqueeze(1)
        with torch.no_grad():
            norm = gradient_norm(losses)
            if self._counts_now:
                self._warn_without_rebin(len(target))
                self.histogram.count_shares(norm, target)
            if self._weighs_now:
                target = target * self.histogram.share_weights(norm)
        return (losses * target).sum(dim=1), None

    def _count_and_weigh(
        self, target: Tensor, losses: Tensor
    ) -> Optional[Tensor]:
        """Count labelled examples by their losses, and look up W, eq. (1).

        Losses carry no gradient here.
        """
        counts, weighs = self._counts_now, self._weighs_now
        if not (counts or weighs):
            return None
        norm = gradient_norm(losses)
        cells = self.histogram.find(target, norm)
        if counts:
            self._warn_without_rebin(len(target))
            self.histogram.count(cells, norm == norm)
        if not weighs:
            return None
        return self.histogram.weights(target, norm, cells, counts)

    def trained_prior(self, class_counts: Tensor) -> Optional[Tensor]:
        """Class prior that is left once the margin carries the rest.

        W changes which examples matter inside a category and is left out.

        Args:
            class_counts (Tensor): n, training examples per class, (C,).

        Returns:
            Optional[Tensor]: ``n ** (1 - gamma)`` with the balanced margin,
            n without a margin, float64 (C,); None with eq. (2)'s, whose
            minimum keeps part of the prior.
        """
        if self.margin == 'paper':
            return None
        power = 0.0 if self.margin == 'none' else self.gamma
        return class_counts.clamp(min=1).double() ** (1 - power)

    def rebin(self) -> None:
        """Close an epoch, see :meth:`GradientHistogram.close_epoch`.

        A collective call: every rank must make it.
        """
        self.histogram.close_epoch()
        self._rebin_is_called = True

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        histogram = self.histogram
        return (
            f'{super().extra_repr()}, num_regions={histogram.num_regions}, '
            f'alpha={histogram.alpha}, gamma={self.gamma}, '
            f'intra_balance={self.intra_balance}, '
            f'adaptive={histogram.adaptive}, '
            f'normalize={histogram.normalize!r}, '
            f'histogram={HISTOGRAMS[histogram.running]!r}, '
            f'margin={self.margin!r}, '
            f'every_step={histogram.sync.every_step}'
        )

    @property
    def _counts_now(self) -> bool:
        return self.training and not _is_recomputed()

    @property
    def _weighs_now(self) -> bool:
        return self.intra_balance and self.weights_active

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
        epochs = state_dict.get(f'{prefix}histogram.num_epochs', 0)
        self._rebin_is_called = bool(epochs)


def histogram_losses(model: nn.Module) -> List[GHMCWAPLoss]:
    """Find the losses of a model that have histograms.

    Args:
        model (nn.Module): A model, wrapped or compiled or not.

    Returns:
        List[GHMCWAPLoss]: In the order of its modules.
    """
    return [m for m in model.modules() if isinstance(m, GHMCWAPLoss)]


def _is_recomputed() -> bool:
    """Whether activation checkpointing repeats a forward in the backward."""
    if is_compiling():
        return False
    return torch._C._current_graph_task_id() != -1
