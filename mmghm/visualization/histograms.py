"""Picture of the learned gradient-norm histograms (the paper's Fig. 2)."""

from typing import Any, Optional, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from .names import abbreviate

HISTOGRAM_COLOR = '#4878a8'
WEIGHT_COLOR = '#c44e30'


def choose_classes(class_counts: np.ndarray, maximum: int) -> np.ndarray:
    """Ids of at most so many classes, spread evenly from head to tail."""
    by_rank = np.argsort(-class_counts, kind='stable')
    places = np.linspace(0, len(by_rank) - 1, min(maximum, len(by_rank)))
    return by_rank[places.round().astype(int)]


def draw_histograms(
    loss: Any,
    class_names: Optional[Sequence[str]] = None,
    max_classes: int = 6,
    title: str = '',
    classes: Optional[np.ndarray] = None,
) -> Figure:
    """Draw the histograms of a ``GHMCWAPLoss``'s last finished epoch.

    Each panel shows how many of a category's examples each of its regions
    held (bars, logarithmic) and the weight W of the occupied ones (points).
    The gradient norm is drawn on an arcsine scale, which widens both ends.
    Categories are at most ``max_classes`` from head to tail, or ``classes``.
    """
    edges = loss.finished_edges.cpu()
    weights = loss.weights.cpu()
    examples = loss.finished_examples.cpu()
    # Nobody got the weight of a region that held no example.
    weights = torch.where(examples > 0, weights, float('nan'))

    counts = loss.class_counts.cpu().numpy()
    if not counts.any():
        counts = examples.sum(dim=1).numpy()
    chosen = choose_classes(counts, max_classes) if classes is None else classes
    columns = min(len(chosen), 3)
    rows = -(-len(chosen) // columns)
    figure = Figure(
        figsize=(4.2 * columns, 2.8 * rows + 0.6), layout='constrained'
    )
    panels = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False
    ).flat
    shown = weights[chosen]
    limits = np.nanmin(shown.numpy()) / 2, np.nanmax(shown.numpy()) * 2
    for place, (label, axes) in enumerate(zip(chosen, panels)):
        name = class_names[label] if class_names else str(label)
        name = abbreviate(str(name), 30)
        axes.set_title(f'{name} ({int(counts[label])} images)', fontsize=10)
        axes.stairs(
            examples[label].numpy().clip(0.5),
            edges[label].numpy(),
            baseline=0.5,
            fill=True,
            color=HISTOGRAM_COLOR,
            alpha=0.6,
        )
        axes.vlines(
            edges[label].numpy(),
            0,
            0.03,
            color='black',
            linewidth=0.6,
            transform=axes.get_xaxis_transform(),
        )
        axes.set_yscale('log')
        # Fitted examples crowd near 0 and unfitted ones near 1, both in
        # narrow regions.
        axes.set_xscale('function', functions=(_arcsine, _inverse_arcsine))
        axes.set_xlim(0, 1)
        axes.set_xticks(
            [0, 0.01, 0.1, 0.5, 0.9, 0.99, 1],
            ['0', '.01', '.1', '.5', '.9', '.99', '1'],
        )
        twin = axes.twinx()
        middle = (edges[label][:-1] + edges[label][1:]) / 2
        twin.plot(
            middle.numpy(),
            weights[label].numpy(),
            'o-',
            markersize=4,
            linewidth=0.8,
            color=WEIGHT_COLOR,
        )
        twin.axhline(1, color=WEIGHT_COLOR, linewidth=0.7, linestyle=':')
        twin.set_yscale('log')
        twin.set_ylim(*limits)
        if place == 0:
            twin.annotate(
                'W = 1: as without weights',
                (0.98, 1),
                xycoords=('axes fraction', 'data'),
                xytext=(0, 2),
                textcoords='offset points',
                ha='right',
                fontsize=7,
                color=WEIGHT_COLOR,
            )
        last = place % columns == columns - 1 or place == len(chosen) - 1
        twin.tick_params(
            axis='y', which='both', colors=WEIGHT_COLOR, labelright=last
        )
        if last:
            twin.set_ylabel('weight W', color=WEIGHT_COLOR)
        if place % columns == 0:
            axes.set_ylabel('examples in region', color=HISTOGRAM_COLOR)
        if place >= len(chosen) - columns:
            axes.set_xlabel('gradient norm g (ticks: region edges)')
    # Those that zip() has left.
    for axes in panels:
        axes.set_axis_off()
    figure.suptitle(title or 'Gradient-norm histograms, head to tail')
    figure.supxlabel(
        'Bars at the left: examples that are learned, where a well-fitted '
        'class has nearly all. Bars at the right: examples that are not.\n'
        'Points above the dotted line count more than one example, points '
        'below it less.',
        fontsize=8,
        color='#555555',
    )
    return figure


def _arcsine(norm: np.ndarray) -> np.ndarray:
    return np.arcsin(np.sqrt(np.clip(norm, 0, 1)))


def _inverse_arcsine(place: np.ndarray) -> np.ndarray:
    return np.sin(place) ** 2


def save_histograms(loss: Any, path: str, **kwargs: Any) -> None:
    """Write :func:`draw_histograms` to a file."""
    with matplotlib.rc_context({'font.size': 9}):
        draw_histograms(loss, **kwargs).savefig(path, dpi=130)
