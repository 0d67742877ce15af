"""What eq. (1) does to whom: examples and weights by group, g and epoch."""

import itertools
from typing import Dict, Mapping, Sequence

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mmghm.evaluation.groups import group_classes
from mmghm.losses import GHMCWAPLoss
from mmghm.losses.functional import density, intra_weights

# Ranges of the gradient norm: fitted, easy, undecided, hard, not fitted.
RANGES = (0.0, 0.1, 0.3, 0.7, 0.9, 1.0)


def weights_by_group(
    loss: GHMCWAPLoss,
    alpha: float,
    normalizations: Sequence[str],
    ranges: Sequence[float] = RANGES,
) -> Dict[str, dict]:
    """Sum a loss's published histograms up over groups of classes.

    The weights are what eq. (1) would give, whether it acted or not. The
    middle of a region stands for the gradient norms in it.

    Args:
        loss (GHMCWAPLoss): The loss, with class counts.
        alpha (float): Effectiveness factor in (0, 1].
        normalizations (Sequence[str]): Scales of W to compare.
        ranges (Sequence[float]): Rising bounds of the ranges of g.

    Returns:
        Dict[str, dict]: By group from head to tail: ``examples``, the share
        of its examples in each range; ``gradient``, their share of its
        gradient norm without W; and by scale ``weight`` and
        ``weighted_gradient``, the mean W (NaN without examples) and the
        gradient norm with W over the group's without, per range.
    """
    edges = loss.finished_edges.double()
    examples = loss.finished_examples.double()
    values = density(examples, edges)
    middle = (edges[:, 1:] + edges[:, :-1]) / 2
    place = torch.bucketize(middle, torch.tensor(ranges[1:-1]).double())
    _, groups = group_classes(loss.class_counts.numpy(), 'quartile')
    weights = {
        name: intra_weights(values, edges, alpha, name)
        for name in normalizations
    }

    result = {}
    for group, members in groups.items():
        rows = torch.as_tensor(members)

        def by_range(amount: Tensor, rows: Tensor = rows) -> Tensor:
            total = torch.zeros(len(ranges) - 1, dtype=torch.float64)
            return total.index_add(
                0, place[rows].flatten(), amount[rows].flatten()
            )

        number = by_range(examples)
        gradient = by_range(examples * middle)
        result[group] = dict(
            examples=(number / number.sum()).tolist(),
            gradient=(gradient / gradient.sum()).tolist(),
            weight={
                name: (by_range(examples * w) / number).tolist()
                for name, w in weights.items()
            },
            weighted_gradient={
                name: (
                    by_range(examples * middle * w) / gradient.sum()
                ).tolist()
                for name, w in weights.items()
            },
        )
    return result


def draw_weights(
    epochs: Mapping[int, Dict[str, dict]], ranges: Sequence[float] = RANGES
) -> Figure:
    """Draw examples and weights by group over the epochs.

    Args:
        epochs (Mapping[int, Dict[str, dict]]): :func:`weights_by_group` of
            some epochs.
        ranges (Sequence[float]): The ranges of g they were made with.

    Returns:
        Figure: A column per group; the first row shows where the examples
        are, one row for each scale what W they get.
    """
    first = next(iter(epochs.values()))
    groups = list(first)
    scales = list(first[groups[0]]['weight'])
    names = [f'{a:g} to {b:g}' for a, b in itertools.pairwise(ranges)]
    colors = matplotlib.colormaps['viridis_r'](
        [0.05 + 0.9 * i / (len(names) - 1) for i in range(len(names))]
    )
    figure = Figure(
        figsize=(2.7 * len(groups) + 1.4, 2.3 * (1 + len(scales))),
        layout='constrained',
    )
    panels = figure.subplots(
        1 + len(scales), len(groups), sharex=True, sharey='row', squeeze=False
    )
    steps = list(epochs)
    for group, column in zip(groups, panels.T):
        shares = [epochs[e][group]['examples'] for e in steps]
        column[0].stackplot(steps, *zip(*shares), colors=colors, labels=names)
        column[0].set_title(group)
        column[0].set_ylim(0, 1)
        for axes, scale in zip(column[1:], scales):
            weights = [epochs[e][group]['weight'][scale] for e in steps]
            for line, color in zip(zip(*weights), colors):
                axes.plot(steps, line, 'o-', markersize=3, color=color)
            axes.axhline(1, color='grey', linewidth=0.7, linestyle=':')
            axes.set_yscale('log')
        column[-1].set_xlabel('epoch')
        column[-1].set_xlim(steps[0], steps[-1])
    panels[0, 0].set_ylabel('share of examples')
    for axes, scale in zip(panels[1:, 0], scales):
        axes.set_ylabel(f"mean W, '{scale}'")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        title='gradient norm g',
        loc='outside right upper',
    )
    return figure
