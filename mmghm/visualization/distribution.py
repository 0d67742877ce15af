"""Pictures of a long tail and of what a loss makes of it, class by class."""

from itertools import cycle
from typing import Any, Mapping, Optional, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.visualization.utils import img_from_canvas

from mmghm.datasets.class_counts import gini, imbalance_factor
from mmghm.evaluation.groups import group_classes
from mmghm.losses.functional import density, effective_size

from .names import abbreviate

# From head to tail; also distinct for colour-blind readers.
GROUP_COLORS = ('#1f5f99', '#3b9a8f', '#d98e04', '#b3402a')
# Up to so many classes each has its name.
NAMED_CLASSES = 20


def draw_class_distribution(
    class_counts: np.ndarray,
    class_names: Optional[Sequence[str]] = None,
    rule: str = 'quartile',
) -> Figure:
    """Draw images per class (C,) from head to tail, coloured by group.

    The rule of the groups is one of :func:`group_classes`.
    """
    counts = np.asarray(class_counts)
    order = np.argsort(-counts, kind='stable')
    place = np.argsort(order)
    figure = Figure(figsize=(8, 4.2), layout='constrained')
    axes = figure.subplots()
    name, groups = group_classes(counts, rule)
    for (group, members), color in zip(groups.items(), cycle(GROUP_COLORS)):
        if len(members):
            images = counts[members]
            axes.bar(
                place[members],
                images,
                width=1.0 if len(counts) > NAMED_CLASSES else 0.8,
                color=color,
                label=f'{abbreviate(group, 40)}: {len(members)} classes, '
                f'{images.sum()} images',
            )
    axes.set_yscale('log')
    axes.set_ylim(bottom=0.7)
    axes.set_ylabel('training images')
    _name_classes(axes, order, class_names)
    figure.legend(
        title=f'groups by {abbreviate(repr(name), 60)}',
        loc='outside lower center',
        ncols=2,
    )
    axes.set_title(
        f'{counts.sum()} images of {len(counts)} classes; imbalance factor '
        f'{imbalance_factor(counts):.4g}, Gini {gini(counts):.2f}'
    )
    return figure


def draw_category_terms(
    loss: Any, class_names: Optional[Sequence[str]] = None, title: str = ''
) -> Figure:
    """Draw S and W of each category of a ``GHMCWAPLoss``, from head to tail.

    Above, the margin's effective size S next to the number of images; below,
    the mean of W over the category's examples, and the range between its
    smallest and largest W.
    """
    weights = loss.weights.cpu().numpy()
    examples = loss.finished_examples.cpu().numpy()
    total = examples.sum(axis=1)
    counts = loss.class_counts.cpu().numpy()
    if not counts.any():
        counts = total
    order = np.argsort(-counts, kind='stable')
    ranks = np.arange(len(order))
    occupied = np.where(examples > 0, weights, np.nan)
    with np.errstate(invalid='ignore'):
        mean = (weights * examples).sum(axis=1) / total
    # A category that was not seen has no W.
    low = np.fmin.reduce(occupied, axis=1)
    high = np.fmax.reduce(occupied, axis=1)

    figure = Figure(figsize=(8, 5.4), layout='constrained')
    above, below = figure.subplots(2, 1, sharex=True)
    values = density(loss.finished_examples, loss.finished_edges)
    sizes = effective_size(values, loss.alpha).cpu().numpy()
    head, tail = GROUP_COLORS[0], GROUP_COLORS[3]
    above.plot(ranks, sizes[order], color=head, label='effective size S')
    # On top: the two may be one.
    above.plot(ranks, counts[order], 'k:', label='training images n')
    below.fill_between(
        ranks,
        low[order],
        high[order],
        color=tail,
        alpha=0.25,
        linewidth=0,
        label='smallest to largest W',
    )
    below.plot(ranks, mean[order], color=tail, label='mean W')
    below.axhline(1, color='grey', linewidth=0.7, linestyle=':')
    for axes in (above, below):
        axes.set_yscale('log')
        axes.legend()
    above.set_ylabel('images')
    below.set_ylabel('weight W, eq. (1)')
    _name_classes(below, order, class_names)
    figure.suptitle(title or 'Effective size and weight by category')
    return figure


def draw_group_accuracy(
    epochs: Sequence[float], groups: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw the accuracy of groups, in percent, over the epochs of validations.

    Groups are in order from head to tail; ``'overall'`` is drawn in black.
    """
    figure = Figure(figsize=(8, 3.6), layout='constrained')
    axes = figure.subplots()
    colors = iter(GROUP_COLORS)
    for name, accuracy in groups.items():
        color = 'black' if name == 'overall' else next(colors, 'grey')
        label = abbreviate(name, 60)
        axes.plot(epochs, accuracy, 'o-', ms=3, color=color, label=label)
    axes.set_xlabel('epoch')
    axes.set_ylabel('accuracy (%)')
    axes.legend()
    return figure


def to_image(figure: Figure, dpi: int = 110) -> np.ndarray:
    """Pixels of a figure, uint8 RGB (height, width, 3)."""
    figure.set_dpi(dpi)
    return img_from_canvas(FigureCanvasAgg(figure))


def _name_classes(
    axes: Any, order: np.ndarray, class_names: Optional[Sequence[str]]
) -> None:
    """Label the axis of the classes."""
    if len(order) <= NAMED_CLASSES:
        names = [
            abbreviate(str(class_names[i]) if class_names else str(i), 24)
            for i in order
        ]
        turned = 60 if max(map(len, names)) > 5 else 0
        axes.set_xticks(range(len(order)), names, rotation=turned)
    axes.set_xlabel('class by rank of train count')
