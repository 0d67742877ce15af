"""Pictures of methods beside each other."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from mmghm.evaluation.comparison import Comparison, Interval
from mmghm.evaluation.groups import QUARTILE_NAMES

from .distribution import GROUP_COLORS

# A method's kind: colour and mark.
_KINDS = {
    'trained': (GROUP_COLORS[0], 'o'),
    're-made': (GROUP_COLORS[3], 's'),
    'classifier': (GROUP_COLORS[1], '^'),
}
_LEGEND = {
    'trained': 'trained',
    're-made': 'made from the softmax run',
    'classifier': "trained on the softmax run's features",
}


def draw_trade_off(
    comparison: Comparison,
    methods: Sequence[Tuple[str, str]],
    curves: Dict[str, np.ndarray],
    chosen: Optional[str] = None,
) -> Figure:
    """Draw accuracy of the tail against that of the head.

    Args:
        comparison (Comparison): The methods.
        methods (Sequence[Tuple[str, str]]): Name and kind of each, numbered
            in this order as in the table beside the picture.
        curves (Dict[str, np.ndarray]): By name, points (head, tail) in percent
            that a post-hoc method goes through with tau, (taus, 2).
        chosen (Optional[str]): The method to mark.

    Returns:
        Figure: A matplotlib figure.
    """
    head, tail = ends(comparison)
    figure = Figure(figsize=(7.2, 5.2), layout='constrained')
    axes = figure.subplots()
    for (name, points), style in zip(curves.items(), ('-', '--')):
        axes.plot(*points.T, style, color='#999999', label=f'{name}, all tau')
    # Methods at one place share a label.
    places: Dict[Tuple[float, float], List[str]] = {}
    for number, (method, kind) in enumerate(methods, 1):
        x, y = (comparison.interval(method, m) for m in (head, tail))
        color, mark = _KINDS[kind]
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
        places.setdefault((round(x.value, 2), round(y.value, 2)), []).append(
            f'{number} {method}' if picked else str(number)
        )
    for place, labels in places.items():
        axes.annotate(
            ', '.join(labels),
            place,
            xytext=(7, 5),
            textcoords='offset points',
            fontsize=9,
        )
    for kind in dict.fromkeys(kind for _, kind in methods):
        color, mark = _KINDS[kind]
        axes.plot([], [], mark, color=color, label=_LEGEND[kind])
    axes.set_xlabel(f'top-1 accuracy of {_title(head)} (%)')
    axes.set_ylabel(f'top-1 accuracy of {_title(tail)} (%)')
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2, frameon=False)
    return figure


def draw_gains(rows: Sequence[Tuple[str, str, Interval]], what: str) -> Figure:
    """Draw differences to softmax with their intervals.

    Args:
        rows (Sequence[Tuple[str, str, Interval]]): Name, kind and difference
            of each method, the best first.
        what (str): The figure that they differ in.

    Returns:
        Figure: A matplotlib figure.
    """
    figure = Figure(figsize=(7.2, 1.3 + 0.26 * len(rows)), layout='constrained')
    axes = figure.subplots()
    for place, (_, kind, gain) in enumerate(rows):
        color, mark = _KINDS[kind]
        axes.errorbar(
            gain.value,
            place,
            xerr=_bars(gain),
            fmt=mark,
            color=color,
            capsize=2,
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
    """The outermost groups that have held-out images.

    Args:
        comparison (Comparison): The methods.

    Returns:
        Tuple[str, str]: Metrics of head and tail.
    """
    names = [f'group:{group}' for group in QUARTILE_NAMES]
    method = comparison.methods[0]
    seen = [n for n in names if np.isfinite(comparison.interval(method, n)[0])]
    return seen[0], seen[-1]


def _bars(interval: Interval) -> np.ndarray:
    value, low, high = interval
    # An interval of few seeds may lie beside its figure.
    return np.maximum([[value - low], [high - value]], 0)


def _title(metric: str) -> str:
    return f'the group {metric.partition(":")[2]!r}'
