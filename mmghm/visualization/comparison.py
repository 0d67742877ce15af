"""Pictures that compare methods."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from mmghm.evaluation.comparison import Comparison, Interval
from mmghm.evaluation.groups import QUARTILE_NAMES

from .distribution import GROUP_COLORS
from .names import abbreviate

Place = Tuple[float, float]

# A method's kind: colour, mark and words.
_KINDS = {
    'trained': (GROUP_COLORS[0], 'o', 'trained'),
    'post-hoc': (GROUP_COLORS[3], 's', 'post-hoc, from the softmax run'),
    'classifier': (
        *(GROUP_COLORS[1], '^'),
        "trained on the softmax run's features",
    ),
}
# Share of the picture within which labels would lie on each other.
_TOUCHING = 0.03


def draw_trade_off(
    comparison: Comparison,
    methods: Sequence[Tuple[str, str]],
    curves: Dict[str, np.ndarray],
    chosen: Optional[str] = None,
) -> Figure:
    """Draw accuracy of the tail against that of the head.

    Methods have a name and a kind, and are numbered in this order as in the
    table next to the picture; ``chosen`` is marked. Curves are points (head,
    tail) in percent that a post-hoc method goes through with tau, (taus, 2), by
    its name.
    """
    head, tail = ends(comparison)
    figure = Figure(figsize=(7.2, 5.2), layout='constrained')
    axes = figure.subplots()
    labels: List[Tuple[Place, str]] = []
    for number, (method, kind) in enumerate(methods, 1):
        x, y = (comparison.interval(method, m) for m in (head, tail))
        color, mark, _ = _KINDS[kind]
        picked = method == chosen
        axes.errorbar(
            x.value,
            y.value,
            xerr=_bars(x) if picked else None,
            yerr=_bars(y) if picked else None,
            fmt=mark,
            color=color,
            markersize=11 if picked else 6,
            markeredgecolor='black' if picked else color,
            zorder=4 if picked else 3,
        )
        label = f'{number} {method}' if picked else str(number)
        labels.append(((x.value, y.value), label))
    for kind in dict.fromkeys(kind for _, kind in methods):
        color, mark, words = _KINDS[kind]
        axes.plot([], [], mark, color=color, label=words)
    # The methods fill the picture; a large tau leads far out of it.
    axes.margins(0.08)
    limits = np.array([axes.get_xlim(), axes.get_ylim()])
    axes.set(xlim=limits[0], ylim=limits[1])
    for place, label in _joined(labels, _TOUCHING * np.ptp(limits, axis=1)):
        axes.annotate(
            label, place, xytext=(7, 5), textcoords='offset points', fontsize=9
        )
    for (name, points), style in zip(curves.items(), ('-', '--')):
        label = f'{abbreviate(name, 60)}, all tau'
        axes.plot(*points.T, style, color='#999999', label=label, zorder=1)
    axes.set_xlabel(f'top-1 accuracy of {_title(head)} (%)')
    axes.set_ylabel(f'top-1 accuracy of {_title(tail)} (%)')
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2, frameon=False)
    return figure


def draw_gains(rows: Sequence[Tuple[str, str, Interval]], what: str) -> Figure:
    """Draw differences to softmax with their intervals, the best first.

    Each row has name, kind and difference of a method; ``what`` is the figure
    that they differ in.
    """
    figure = Figure(figsize=(7.2, 1.3 + 0.26 * len(rows)), layout='constrained')
    axes = figure.subplots()
    for place, (_, kind, gain) in enumerate(rows):
        color, fmt, _ = _KINDS[kind]
        axes.errorbar(
            gain.value, place, xerr=_bars(gain), fmt=fmt, color=color, capsize=2
        )
    axes.axvline(0, color='#666666', linewidth=1)
    axes.set_yticks(
        range(len(rows)),
        [f'{number} {name}' for number, (name, _, _) in enumerate(rows, 1)],
    )
    axes.invert_yaxis()
    axes.set_xlabel(f'{what}: points over softmax, 95 % interval')
    axes.grid(axis='x', alpha=0.3)
    return figure


def ends(comparison: Comparison) -> Tuple[str, str]:
    """Metrics of the outermost groups, head and tail, with held-out images."""
    names = [f'group:{group}' for group in QUARTILE_NAMES]
    method = comparison.methods[0]
    seen = [n for n in names if np.isfinite(comparison.interval(method, n)[0])]
    return seen[0], seen[-1]


def _joined(
    labels: Sequence[Tuple[Place, str]], touching: np.ndarray
) -> List[Tuple[Place, str]]:
    """Labels of places that touch, joined at the first of them."""
    joined: List[Tuple[Place, List[str]]] = []
    for place, label in labels:
        for first, shared in joined:
            if (np.abs(np.subtract(place, first)) < touching).all():
                shared.append(label)
                break
        else:
            joined.append((place, [label]))
    return [(place, ', '.join(shared)) for place, shared in joined]


def _bars(interval: Interval) -> np.ndarray:
    value, low, high = interval
    # An interval of few seeds may not contain its figure.
    return np.maximum([[value - low], [high - value]], 0)


def _title(metric: str) -> str:
    return f'the group {metric.partition(":")[2]!r}'
