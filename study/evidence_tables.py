"""Tables and pictures of the study in docs/evidence.md."""

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from mmghm.utils.errors import UserError

from .evidence import (
    FINALISTS,
    OLD_DEFAULT,
    OLD_MARGIN,
    OLD_WEIGHTS,
    REGIMES,
    has_weights,
    in_words,
    own_margin,
    regime_of,
)
from .render import GROUPS, load_results, setting_of, spread

# (regime, whether on held-out train images)
Column = Tuple[str, bool]
# By setting and seed, the accuracies of the last epoch; those of the classes
# under 'class/0' (the one with the most train images), 'class/1' and so on.
Runs = Dict[str, Dict[int, Dict[str, float]]]


# Margins with W: those of today, then those of versions 0.1 and 0.2.
WEIGHTED = ('ghm_cwap', 'ghm_cwap_balanced', OLD_DEFAULT, *OLD_WEIGHTS)
# What they are held against beside their own margins.
RIVALS = ('seesaw', 'softmax', 'ldam_drw')
# Settings whose groups are shown.
SHOWN = (*FINALISTS, OLD_DEFAULT, OLD_MARGIN, *OLD_WEIGHTS)


class PairedDifference(NamedTuple):
    """A setting against another one, paired by seed.

    Attributes:
        values (List[float]): Differences in overall accuracy, in points.
        verdict (str): ``'gain'``, ``'loss'``, ``'noise'`` (the mean is below
            the standard deviation) or ``'unknown'`` (fewer than 3 pairs).
    """

    values: List[float]
    verdict: str


def read_runs(folder: Path) -> Dict[Column, Runs]:
    """Read the study's results.

    Args:
        folder (Path): Folder of JSON files.

    Returns:
        Dict[Column, Runs]: By regime and part, in the order of the regimes,
        under the names of :func:`~.evidence.name_of`.

    Raises:
        UserError: If two results disagree about what was run.
    """
    columns: Dict[Column, Runs] = defaultdict(lambda: defaultdict(dict))
    for result in load_results(folder):
        cell = result['cell']
        regime, setting = str(regime_of(cell)), setting_of(result)
        runs = columns[regime, cell['validation']][setting]
        if cell['seed'] in runs:
            raise UserError(
                f'{folder} has two results of {setting} in '
                f'{regime} with seed {cell["seed"]}; keep the one whose '
                'result version is that of the others'
            )
        by_size = sorted(result['per_class'], key=lambda c: -c['train_images'])
        runs[cell['seed']] = dict(
            result['last_epoch'],
            **{f'class/{i}': c['top1'] for i, c in enumerate(by_size)},
        )
    order = {
        (name, part): (not part, place)
        for place, name in enumerate(REGIMES)
        for part in (True, False)
    }
    return {key: columns[key] for key in sorted(columns, key=order.__getitem__)}


def paired(runs: Runs, setting: str, other: str, key: str) -> List[float]:
    """Subtract the accuracies of two settings, seed by seed.

    Args:
        runs (Runs): The runs of one regime.
        setting (str): A setting.
        other (str): Another one.
        key (str): Which accuracy, such as ``'overall'`` or ``'class/0'``.

    Returns:
        List[float]: In points, for the seeds that both have.
    """
    seeds = sorted(runs[setting].keys() & runs[other].keys())
    return [runs[setting][s][key] - runs[other][s][key] for s in seeds]


def difference(
    runs: Runs, setting: str, other: str
) -> Optional[PairedDifference]:
    """Compare two settings on the seeds that both have.

    Args:
        runs (Runs): The runs of one regime.
        setting (str): A setting.
        other (str): Another one.

    Returns:
        Optional[PairedDifference]: None without a common seed.
    """
    values = paired(runs, setting, other, 'overall')
    if not values:
        return None
    if len(values) < 3:
        return PairedDifference(values, 'unknown')
    if abs(mean(values)) <= stdev(values):
        return PairedDifference(values, 'noise')
    return PairedDifference(values, 'gain' if mean(values) > 0 else 'loss')


def column_table(runs: Runs) -> str:
    """Write the runs of one regime as a Markdown table.

    Args:
        runs (Runs): The runs.

    Returns:
        str: Settings by falling accuracy.
    """
    header = [
        *('setting', 'seeds', 'overall', *GROUPS),
        *('compared with', 'difference'),
    ]
    lines = [header, ['---'] * len(header)]
    ranked = sorted(
        runs, key=lambda s: -mean(r['overall'] for r in runs[s].values())
    )
    for setting in ranked:
        results = list(runs[setting].values())
        row = [
            in_words(setting),
            str(len(results)),
            spread([r['overall'] for r in results]),
            *(
                f'{mean(r[f"quartile/{g}"] for r in results):.1f}'
                for g in GROUPS
            ),
        ]
        margin, found = own_margin(setting), None
        if setting != margin and margin in runs:
            found = difference(runs, setting, margin)
        if found is None:
            row += ['', '']
        else:
            row += [in_words(margin), _told(found)]
        lines.append(row)
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def summary_table(columns: Dict[Column, Runs]) -> str:
    """Compare each margin with W with that margin alone and with its rivals.

    Args:
        columns (Dict[Column, Runs]): All runs; those on test images count.

    Returns:
        str: A Markdown table, a line per regime and setting.
    """
    header = [
        *('regime', 'setting', 'overall', 'W adds'),
        *(f'- {in_words(rival)}' for rival in RIVALS),
    ]
    lines = [header, ['---'] * len(header)]
    for (regime, validation), runs in columns.items():
        for setting in WEIGHTED:
            if validation or setting not in runs:
                continue
            results = runs[setting].values()
            row = [
                *(regime, in_words(setting)),
                spread([r['overall'] for r in results]),
            ]
            for other in (own_margin(setting), *RIVALS):
                found = None
                if other in runs:
                    found = difference(runs, setting, other)
                row.append(_told(found) if found else '')
            lines.append(row)
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _told(found: PairedDifference) -> str:
    text = spread(found.values, '+.2f')
    return f'{text} ({len(found.values)}, {found.verdict})'


def render_study(folder: Path) -> str:
    """Write all tables of the study.

    Args:
        folder (Path): Folder of JSON files.

    Returns:
        str: Markdown.
    """
    results = load_results(folder)
    hours = sum(r['wall_seconds'] for r in results) / 3600
    hardware = ', '.join(sorted({r['hardware'] for r in results}))
    torch = ', '.join(sorted({r['versions']['torch'] for r in results}))
    parts = [
        '# Runs of the study',
        'Written by `study/reproduce.py evidence`; do not edit. What the '
        'settings and regimes are: `study/evidence.py`. Top-1 of the '
        'last epoch in percent, mean and standard deviation over seeds; groups '
        'are quarters of the classes by train images. Each setting is compared '
        'with its own margin alone, or the one of the paper, paired by seed: '
        'the difference is noise where its mean is below its standard '
        'deviation, and unknown with fewer than 3 pairs.',
        'Some settings were run with versions 0.1 and 0.2 alone. In their names '
        '"W from 80 %" means that the weights W act after 80 % of the epochs, '
        '"the running histogram" that W comes from the running epoch\'s '
        'histogram, in place of the finished epoch\'s, and "the balanced margin" '
        'is that of Balanced Softmax.',
        f'{len(results)} runs, {hours:.1f} h in all; {hardware}; torch {torch}.',
    ]
    columns = read_runs(folder)
    parts += [
        '## Summary, test images',
        'Each margin with W: its paired difference to the same margin alone, '
        'and to other methods, with the number of pairs.',
        summary_table(columns),
    ]
    for (regime, validation), runs in columns.items():
        part = 'held-out train images' if validation else 'test images'
        parts += [
            f'## {regime}, {part}',
            describe_regime(regime),
            column_table(runs),
        ]
    return '\n\n'.join(parts) + '\n'


def describe_regime(regime: str) -> str:
    """Say in a line what a regime is.

    Args:
        regime (str): Its name.

    Returns:
        str: A sentence.
    """
    where = REGIMES[regime]
    epochs = f'{where.epochs} epochs' if where.epochs else "the task's epochs"
    parts = [
        f'`{where.task}`',
        f'head {where.head}',
        f'imbalance factor {where.imbalance_factor}',
        epochs,
    ]
    if where.ascending:
        parts.append('the last class the largest')
    if where.label_noise:
        parts.append(f'{where.label_noise:.0%} of the train labels wrong')
    if where.note:
        parts.append(where.note)
    return ', '.join(parts) + '.'


def draw_differences(columns: Dict[Column, Runs]) -> Figure:
    """Draw what W adds to each setting's own margin, a dot per seed.

    Args:
        columns (Dict[Column, Runs]): The regimes to show.

    Returns:
        Figure: Bars are means. A panel per regime and a row per setting, or
        the other way round if there are more regimes.
    """
    found = {}
    for (regime, _), runs in columns.items():
        for setting in runs:
            margin = own_margin(setting)
            if has_weights(setting) and margin in runs:
                pair = difference(runs, setting, margin)
                if pair is not None:
                    found[regime, setting] = pair
    panels = [regime for regime, _ in columns]
    rows = list(dict.fromkeys(setting for _, setting in found))
    if len(panels) > len(rows) > 0:
        panels, rows = rows, panels
        found = {(s, regime): pair for (regime, s), pair in found.items()}
    names = list(map(_plain, rows))
    figure = Figure(
        figsize=(
            3.6 * len(panels) + 0.08 * max(map(len, names), default=0),
            0.26 * len(rows) + 1.2,
        ),
        layout='constrained',
    )
    all_axes = figure.subplots(
        1, len(panels), sharex=True, sharey=True, squeeze=False
    )[0]
    for axes, panel in zip(all_axes, panels):
        for place, row in enumerate(rows):
            if (panel, row) in found:
                _draw_difference(axes, place, found[panel, row])
        axes.axvline(0, color='black', linewidth=0.8)
        axes.set_title(_plain(panel, 38))
        # Tenths of a point matter, and a collapse is to be seen too.
        axes.set_xscale('symlog', linthresh=1)
        axes.xaxis.set_major_formatter('{x:g}')
        axes.set_xlabel('points')
        axes.grid(axis='x', linewidth=0.4)
    low, high = all_axes[0].get_xlim()
    ticks = [-20, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 20]
    all_axes[0].set_xticks([t for t in ticks if low <= t <= high])
    all_axes[0].set_yticks(range(len(rows)), names)
    all_axes[0].invert_yaxis()
    figure.suptitle('Overall accuracy minus that of the same margin alone')
    return figure


def _draw_difference(axes: Any, place: int, found: PairedDifference) -> None:
    axes.barh(
        place,
        mean(found.values),
        color='#4878a8' if mean(found.values) > 0 else '#c44e30',
        alpha=0.4 if found.verdict != 'noise' else 0.15,
    )
    axes.plot(
        found.values,
        [place] * len(found.values),
        'o',
        markersize=3.5,
        color='black',
    )


def draw_classes(columns: Dict[Column, Runs]) -> Optional[Figure]:
    """Draw what W adds to the accuracy of each class.

    Args:
        columns (Dict[Column, Runs]): The regimes to show; one without a
            setting of ``WEIGHTED`` that was run with its margin and at least
            3 seeds is left out.

    Returns:
        Optional[Figure]: A panel per regime, classes from the largest to the
        smallest, means with Student's 95 % confidence intervals; None if there
        is nothing to show.
    """
    effects: Dict[str, Dict[str, np.ndarray]] = defaultdict(dict)
    for (regime, _), runs in columns.items():
        for setting in WEIGHTED:
            margin = own_margin(setting)
            if setting not in runs or margin not in runs:
                continue
            one = next(iter(runs[margin].values()))
            classes = sum(key.startswith('class/') for key in one)
            values = np.array(
                [
                    paired(runs, setting, margin, f'class/{i}')
                    for i in range(classes)
                ]
            )
            if values.shape[1] >= 3:
                effects[regime][setting] = values
    if not effects:
        return None
    colors = matplotlib.colormaps['tab10']
    figure, panels = _panels(len(effects))
    handles: Dict[str, Any] = {}
    for axes, (regime, found) in zip(panels, effects.items()):
        for place, (setting, values) in enumerate(found.items()):
            seeds = values.shape[1]
            half = student.ppf(0.975, seeds - 1) / seeds**0.5
            handles[setting] = axes.errorbar(
                np.arange(len(values)) + 0.2 * (place - (len(found) - 1) / 2),
                values.mean(axis=1),
                half * values.std(axis=1, ddof=1),
                fmt='o',
                markersize=3.5,
                linewidth=1,
                capsize=2,
                color=colors(WEIGHTED.index(setting)),
            )
        axes.axhline(0, color='black', linewidth=0.8)
        axes.set_title(regime)
        axes.set_xlabel('class, by falling train images')
        axes.grid(axis='y', linewidth=0.4)
    # As for the differences of all classes, with more room for a class's.
    panels[0].set_yscale('symlog', linthresh=5)
    low, high = panels[0].get_ylim()
    ticks = (-20, -10, -5, -2, 0, 2, 5, 10, 20)
    panels[0].set_yticks([tick for tick in ticks if low <= tick <= high])
    panels[0].yaxis.set_major_formatter('{x:g}')
    panels[0].set_ylabel('points')
    _add_legend(figure, handles)
    figure.suptitle(
        'Accuracy of each class minus that of the same margin alone'
    )
    return figure


def _panels(number: int) -> Tuple[Figure, List[Any]]:
    """Lay out panels, at most 4 in a row; those left over stay empty."""
    wide = min(number, 4)
    rows = -(-number // wide)
    figure = Figure(
        figsize=(max(3 * wide, 7), 2.6 * rows + 1.6), layout='constrained'
    )
    grid = figure.subplots(rows, wide, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[number:]:
        axes.set_axis_off()
    return figure, panels


def draw_groups(columns: Dict[Column, Runs]) -> Figure:
    """Draw the accuracy of each group of classes.

    Args:
        columns (Dict[Column, Runs]): The regimes to show.

    Returns:
        Figure: A panel per regime, a line per setting of ``SHOWN``, bars
        its spread.
    """
    figure, panels = _panels(len(columns))
    colors = matplotlib.colormaps['tab10']
    handles: Dict[str, Any] = {}
    shown = [s for s in SHOWN if any(s in runs for runs in columns.values())]
    for axes, ((regime, _), runs) in zip(panels, columns.items()):
        for number, setting in enumerate(shown):
            if setting not in runs:
                continue
            results = list(runs[setting].values())
            groups = [[r[f'quartile/{g}'] for r in results] for g in GROUPS]
            handles[setting] = axes.errorbar(
                [i + 0.06 * (number - len(shown) / 2) for i in range(4)],
                [mean(g) for g in groups],
                [stdev(g) if len(g) > 1 else 0 for g in groups],
                fmt='o-',
                markersize=4,
                linewidth=1,
                capsize=2,
                color=colors(number),
            )
        axes.set_xticks(range(4), GROUPS)
        axes.set_title(regime)
        axes.grid(axis='y', linewidth=0.4)
    panels[0].set_ylabel('top-1 (%)')
    _add_legend(figure, handles)
    return figure


def _add_legend(figure: Figure, handles: Dict[str, Any]) -> None:
    figure.legend(
        list(handles.values()),
        [_plain(name, 40) for name in handles],
        loc='outside lower center',
        ncols=2 if figure.get_figwidth() < 9 else 3,
        frameon=False,
    )


def _plain(name: str, width: int = 120) -> str:
    """A setting in words for a picture; a regime's name as it is."""
    return fill(in_words(name).replace('`', ''), width)
