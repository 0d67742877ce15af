"""The three pictures of docs/findings.md."""

from typing import Any, Dict, Optional, Sequence, Tuple

import matplotlib
from matplotlib.figure import Figure

from .comparisons import Column, Pair, Runs, excludes_0, paired
from .evidence import OLD_DEFAULT, OLD_MARGIN
from .intervals import Estimate, estimate
from .render import GROUPS

# What is drawn of the runs of 200 epochs, as a reader calls it.
LOSSES = {
    'softmax': 'softmax',
    'seesaw': 'Seesaw',
    'ghm_cwap_margin': "the paper's margin",
    'balanced_margin': 'Balanced Softmax',
    'ghm_cwap_balanced': 'ghm_cwap_balanced',
}
GROUP_NAMES = dict(zip(GROUPS, ('3 largest', 'next 3', 'next 2', '2 smallest')))
# Experiments of the picture of W, from the paper's scale down.
FULL = 'cifar10_if100'
EXPERIMENTS = {
    FULL: 'ResNet-32, 200 epochs',
    'base': 'ResNet-8, largest class 1,000',
    'if10': 'ResNet-8, imbalance factor 10',
    'if500': 'ResNet-8, imbalance factor 500',
    'ascending': 'ResNet-8, classes in the opposite order',
    'head2000': 'ResNet-8, largest class 2,000',
    'wide': 'a wider ResNet-8',
    'strong': 'ResNet-8, Mixup, averaged weights',
    'noise20': 'ResNet-8, 20 % wrong labels',
    'noise40': 'ResNet-8, 40 % wrong labels',
    'cifar100_resnet8': 'CIFAR-100, ResNet-8',
    'digits': 'digits, imbalance factor 20',
    'digits_if50': 'digits, imbalance factor 50',
}
# A margin with W, less the margin alone; of a regime the first that was run.
PAPER_W = (
    ('r_w', 'ghm_cwap_margin'),
    ('late_g0.8', OLD_MARGIN),
    ('ghm_cwap', 'ghm_cwap_margin'),
)
BALANCED_W = (
    ('ghm_cwap_balanced', 'balanced_margin'),
    (OLD_DEFAULT, 'balanced_margin'),
)


def draw_groups(runs: Runs) -> Figure:
    """Draw the accuracy of each group of classes.

    Args:
        runs (Runs): The runs of 200 epochs.

    Returns:
        Figure: Bars are means, dots are seeds.
    """
    figure = Figure(figsize=(9, 4), layout='constrained')
    axes = figure.subplots()
    colors = matplotlib.colormaps['tab10']
    width = 0.8 / len(LOSSES)
    for number, (setting, name) in enumerate(LOSSES.items()):
        values = [
            [run[f'quartile/{group}'] for run in runs[setting].values()]
            for group in GROUPS
        ]
        places = [
            i + width * (number - (len(LOSSES) - 1) / 2)
            for i in range(len(GROUPS))
        ]
        axes.bar(
            places,
            [sum(v) / len(v) for v in values],
            0.9 * width,
            color=colors(number),
            alpha=0.75,
            label=name,
        )
        _seeds(axes, places, values)
    axes.set_xticks(
        range(len(GROUPS)), [f'{GROUP_NAMES[g]} classes' for g in GROUPS]
    )
    axes.set_ylabel('accuracy (%)')
    axes.set_ylim(0, 100)
    axes.grid(axis='y', linewidth=0.4)
    figure.legend(
        loc='outside upper center', ncols=5, frameon=False, columnspacing=1.2
    )
    return figure


def _seeds(
    axes: Any, places: Sequence[float], values: Sequence[Sequence[float]]
) -> None:
    for place, seeds in zip(places, values):
        axes.plot([place] * len(seeds), seeds, '.', color='black', markersize=4)


def draw_corrected(runs: Runs) -> Figure:
    """Draw each loss as trained and prior-corrected.

    Args:
        runs (Runs): The runs of 200 epochs.

    Returns:
        Figure: A line per loss; circles are seeds, bars their means.
    """
    figure = Figure(figsize=(8, 3.2), layout='constrained')
    axes = figure.subplots()
    styles = (
        ('overall', 'as trained', '#c44e30'),
        ('prior_corrected', 'prior-corrected', '#4878a8'),
    )
    for place, setting in enumerate(LOSSES):
        means = []
        for key, label, color in styles:
            values = [run[key] for run in runs[setting].values()]
            means.append(sum(values) / len(values))
            axes.plot(
                values,
                [place] * len(values),
                'o',
                markersize=5,
                alpha=0.7,
                color=color,
                label=label if place == 0 else None,
            )
            axes.plot(
                [means[-1]] * 2, [place - 0.25, place + 0.25], color=color
            )
        axes.annotate(
            '',
            (means[1], place - 0.35),
            (means[0], place - 0.35),
            arrowprops=dict(arrowstyle='->', color='grey'),
        )
    axes.set_yticks(range(len(LOSSES)), list(LOSSES.values()))
    axes.invert_yaxis()
    axes.set_xlabel('accuracy (%), all classes')
    axes.grid(axis='x', linewidth=0.4)
    axes.legend(frameon=False, loc='lower left')
    return figure


def w_effect(
    runs: Runs, margins: Sequence[Tuple[str, str]], key: str = 'overall'
) -> Optional[Estimate]:
    """What W adds to a margin.

    Args:
        runs (Runs): The runs of one regime.
        margins (Sequence[Tuple[str, str]]): Margin with W and without; the first
            pair of settings that was run counts.
        key (str): Which accuracy.

    Returns:
        Optional[Estimate]: None without two pairs of seeds.
    """
    for setting, margin in margins:
        values = paired(runs, Pair(setting, margin, key))
        if len(values) > 1:
            return estimate(values)
    return None


def draw_w(columns: Dict[Column, Runs]) -> Figure:
    """Draw what W adds to the paper's margin and to that of Balanced Softmax.

    Args:
        columns (Dict[Column, Runs]): All runs.

    Returns:
        Figure: Means over pairs of seeds with 95 % intervals, a line per
        experiment.
    """
    lines = [(name, regime, 'overall') for regime, name in EXPERIMENTS.items()]
    lines.insert(1, ('the same, prior-corrected', FULL, 'prior_corrected'))
    figure = Figure(figsize=(9, 4.8), layout='constrained')
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    titles = ("the paper's margin", 'the margin of Balanced Softmax')
    for axes, title, margins in zip(panels, titles, (PAPER_W, BALANCED_W)):
        for place, (_, regime, key) in enumerate(lines):
            one = w_effect(columns.get((regime, False), {}), margins, key)
            if one:
                _interval(axes, place, one)
        axes.axvline(0, color='black', linewidth=0.8)
        axes.set_title(title)
        axes.set_xlabel('W adds, points of accuracy')
        axes.grid(axis='x', linewidth=0.4)
    panels[0].set_yticks(range(len(lines)), [name for name, *_ in lines])
    panels[0].invert_yaxis()
    return figure


def _interval(axes: Any, place: int, one: Estimate) -> None:
    assert one.low is not None and one.high is not None
    axes.errorbar(
        one.mean,
        place,
        xerr=[[one.mean - one.low], [one.high - one.mean]],
        fmt='o',
        markersize=4,
        capsize=3,
        color='#4878a8' if excludes_0(one) else '#909090',
    )
