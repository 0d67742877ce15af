#!/usr/bin/env python
"""Compare runs by their logs: accuracy by group, with the spread of seeds.

Runs whose configs agree but for the seed are one row. The figures are those of
the last validation.

Example:
    python -m mmghm compare_runs work_dirs/ghm_s0 work_dirs/ghm_s1 \
        work_dirs/softmax_s0 work_dirs/softmax_s1 --out compare.png
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='runs'
    )
    parser.add_argument(
        '--groups', default='quartile', help='rule of the groups'
    )
    parser.add_argument('--out', type=Path, help='file for a picture')
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser.parse_args()


# Before the imports that take seconds, so that --help answers at once.
ARGS = parse_args() if __name__ == '__main__' else argparse.Namespace()

import json
from typing import Dict, List, Sequence

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mmghm.report.page import read_runs
from mmghm.report.run import Run
from mmghm.utils.errors import UserError, one_line_errors
from mmghm.visualization.distribution import GROUP_COLORS
from mmghm.visualization.names import abbreviate

# Settings that do not change what is trained.
IGNORED = ('work_dir', 'experiment_name', 'randomness', 'resume')


def same_settings(runs: Sequence[Run]) -> Dict[str, List[Run]]:
    """Runs by the name of the first one with their settings."""
    keys: Dict[str, str] = {}
    rows: Dict[str, List[Run]] = {}
    for run in runs:
        settings = run.config.to_dict()
        # A resumed run names its own checkpoint there; without a resume it
        # is what the training began with.
        if settings.get('resume'):
            settings['load_from'] = None
        for name in IGNORED:
            settings.pop(name, None)
        text = json.dumps(settings, sort_keys=True, default=str)
        rows.setdefault(keys.setdefault(text, run.name), []).append(run)
    return rows


def last_accuracy(run: Run, rule: str) -> Dict[str, float]:
    """By group, in the order of the log."""
    found = {}
    for key, (_, values) in run.validation.items():
        parts = key.split('/')
        if parts[-1] == 'top1' and (rule in parts or parts[-2] == 'overall'):
            found[parts[-2]] = values[-1]
    if not found:
        raise UserError(
            f'{run.name} logged no accuracy by groups '
            f'{rule!r}; its val_evaluator needs a GroupAccuracy with them, and '
            'its visualizer a LocalVisBackend'
        )
    return found


def draw(rows: Dict[str, Dict[str, np.ndarray]]) -> Figure:
    figure = Figure(
        figsize=(8, 1 + 0.55 * len(rows) + 0.8), layout='constrained'
    )
    axes = figure.subplots()
    groups = list(next(iter(rows.values())))
    colors = dict(zip(groups, ('black', *GROUP_COLORS)))
    for number, values in enumerate(rows.values()):
        for place, group in enumerate(groups):
            height = number + (place - (len(groups) - 1) / 2) * 0.13
            axes.errorbar(
                values[group].mean(),
                height,
                xerr=values[group].std(ddof=1) if len(values[group]) > 1 else 0,
                fmt='o',
                color=colors.get(group, 'grey'),
                capsize=2,
                markersize=4,
                label=group if number == 0 else None,
            )
            axes.plot(
                values[group],
                np.full(len(values[group]), height),
                '|',
                color=colors.get(group, 'grey'),
                alpha=0.4,
            )
    labels = [
        f'{abbreviate(name, 40)} (n={len(v[groups[0]])})'
        for name, v in rows.items()
    ]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel('accuracy (%): mean and standard deviation of the seeds')
    axes.grid(axis='x', alpha=0.3)
    figure.legend(loc='outside right upper')
    return figure


def main(args: argparse.Namespace) -> None:
    console = Console(highlight=False)
    try:
        with console.status('Reading the runs'):
            runs = read_runs(args.work_dirs)
    except FileNotFoundError as error:
        raise UserError(f'{error}') from error
    accuracy: Dict[str, Dict[str, np.ndarray]] = {}
    for name, members in same_settings(runs).items():
        figures = [last_accuracy(run, args.groups) for run in members]
        accuracy[name] = {
            group: np.array([f.get(group, np.nan) for f in figures])
            for group in figures[0]
        }
    table = Table(title=f'Accuracy (%), groups by {args.groups!r}')
    table.add_column('run', overflow='fold')
    table.add_column('seeds', justify='right')
    for group in next(iter(accuracy.values())):
        table.add_column(group, justify='right')
    for name, groups in accuracy.items():
        cells = [str(len(groups['overall']))]
        for values in groups.values():
            spread = f' ± {values.std(ddof=1):.2f}' if len(values) > 1 else ''
            cells.append(f'{values.mean():.2f}{spread}')
        table.add_row(name, *cells)
    console.print(table)
    if args.out:
        draw(accuracy).savefig(args.out, dpi=130)
        console.print(f'Saved {args.out}', soft_wrap=True)


if __name__ == '__main__':
    with one_line_errors('compare_runs.py', ARGS.debug):
        main(ARGS)
