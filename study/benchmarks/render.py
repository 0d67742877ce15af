#!/usr/bin/env python
"""Fill the tables of the pages that come from study/results/performance and decoded.

Those of the study's results: study/pages.py.

Example:
    python study/benchmarks/render.py
"""

import argparse
import csv
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Callable, Dict, List

import matplotlib
from matplotlib.figure import Figure

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from study.benchmarks.harness import RESULTS
from study.benchmarks.losses import CROSS_ENTROPY, GHM_CWAP, MARGIN_ONLY
from study.evidence import in_words
from study.fill import fill_pages
from study.intervals import estimate

PAGES = tuple(
    Path('docs') / f'{name}.md'
    for name in ('performance', 'benchmarks', 'datasets')
)
DECODED = Path('study/results/decoded')
# Table 1 of the paper: train images per epoch of its eight CIFAR settings, at
# the imbalance factors 500, 100, 10 and 1, and what is done with them.
CIFAR_IMAGES = (10011, 12406, 20431, 50000, 9502, 10847, 19573, 50000)
METHODS, EPOCHS, MINUTES = 8, 200, 90
Table = List[Dict[str, str]]


def read(name: str, device: str) -> Table:
    path = RESULTS / f'{name}_{device}.csv'
    if not path.exists():
        return []
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def absent(name: str, device: str) -> str:
    return (
        f'Not measured on {device.upper()} yet. This fills it:\n\n'
        f'```bash\npython study/benchmarks/run.py {name} --device {device} && '
        'python study/benchmarks/render.py\n```\n'
    )


def where(rows: Table) -> str:
    return f'{rows[0]["hardware"]}; {rows[0]["versions"]}.\n'


def ratio(row: Dict[str, str]) -> str:
    spread = f'{float(row["ratio_q25"]):.2f} to {float(row["ratio_q75"]):.2f}'
    return f'{float(row["ratio"]):.2f} ({spread})'


def markdown(header: List[str], body: List[List[str]]) -> str:
    lines = [header, ['---'] * len(header), *body]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def by_case(rows: Table) -> str:
    """Subjects down, cases across, ratios in the cells."""
    cases = list(dict.fromkeys(row['case'] for row in rows))
    cells: Dict[str, Dict[str, str]] = defaultdict(dict)
    for row in rows:
        first = row['subject'] == CROSS_ENTROPY
        cells[row['subject']][row['case']] = (
            f'1 ({float(row["median"]):.3g} ms)' if first else ratio(row)
        )
    body = [
        [subject, *(found.get(case, '') for case in cases)]
        for subject, found in cells.items()
    ]
    return markdown(['loss', *cases], body)


def listed(rows: Table) -> str:
    """A row each."""
    body = [
        [
            row['case'],
            row['subject'],
            f'{float(row["median"]):.4g} {row["unit"]}',
            ratio(row) if row['ratio'] else '',
            row['note'],
        ]
        for row in rows
    ]
    return markdown(['case', 'what', 'median', 'ratio', ''], body)


def block(name: str, device: str, form: Callable[[Table], str]) -> str:
    rows = read(name, device)
    return f'{form(rows)}\n{where(rows)}' if rows else absent(name, device)


def draw(name: str, axis: str, place: int, path: Path) -> None:
    """Plot milliseconds by one of the two numbers of a case."""
    colors = matplotlib.colormaps['tab10']
    figure = Figure(figsize=(7, 4), layout='constrained')
    axes = figure.subplots()
    ticks: List[int] = []
    for number, subject in enumerate((CROSS_ENTROPY, GHM_CWAP, MARGIN_ONLY)):
        for device, style in (('cpu', '-'), ('cuda', '--')):
            rows = [r for r in read(name, device) if r['subject'] == subject]
            if not rows:
                continue
            sizes = [int(row['case'].split(' x ')[place]) for row in rows]
            ticks = sizes
            low, middle, high = (
                [float(row[key]) for row in rows]
                for key in ('q25', 'median', 'q75')
            )
            label = subject if device == 'cpu' else f'{subject}, GPU'
            axes.plot(
                sizes,
                middle,
                style,
                marker='o',
                color=colors(number),
                label=label,
            )
            axes.fill_between(sizes, low, high, color=colors(number), alpha=0.2)
    axes.set(
        xscale='log',
        yscale='log',
        xlabel=axis,
        ylabel='forward and backward, milliseconds',
    )
    axes.set_xticks(ticks, [f'{size:,}' for size in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3, which='both')
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def accuracy() -> str:
    """Overall accuracy of the stock and of the decoded path."""
    found: Dict[tuple, List[float]] = defaultdict(list)
    hardware = set()
    for path in sorted(DECODED.glob('*.json')):
        result = json.loads(path.read_text())
        cell = result['cell']
        found[cell['setting'], cell['regime']].append(
            result['last_epoch']['overall']
        )
        hardware.add(
            f'{result["hardware"]}; torch {result["versions"]["torch"]}'
        )
    names = {'base': 'stock', 'base_decoded': 'decoded batches'}
    body = [
        [
            in_words(setting),
            names[regime],
            str(len(values)),
            estimate(values).text(),
            ', '.join(f'{value:.2f}' for value in values),
        ]
        for (setting, regime), values in sorted(found.items())
    ]
    header = ['loss', 'data path', 'seeds', 'accuracy [95 %]', 'each seed']
    return f'{markdown(header, body)}\n{"; ".join(sorted(hardware))}.\n'


def table1(device: str) -> str:
    """What the CIFAR half of Table 1 takes at the measured rate."""
    images = sum(CIFAR_IMAGES) * METHODS * EPOCHS
    needed = images / (60 * MINUTES)
    text = (
        f'{len(CIFAR_IMAGES) * METHODS} experiments of {EPOCHS} epochs are '
        f'{images / 1e6:.0f} million images; {MINUTES} minutes need '
        f'{needed:,.0f} images a second, all runs on a device together.'
    )
    rows = [
        r for r in read('loop', device) if 'decoded batches, b' in r['subject']
    ]
    if not rows:
        return f'{text} The rate of a GPU has not been measured.\n'
    rate = float(rows[0]['median'])
    return (
        f'{text} At the {rate:,.0f} of this {device.upper()} they take '
        f'{images / rate / 3600:,.0f} hours, evaluation not counted.\n'
    )


def epoch_parts(device: str) -> str:
    """The cost of an epoch from figures that are known better than it."""
    losses = {
        r['subject']: r
        for r in read('losses', device)
        if r['case'] == '128 x 10'
    }
    epoch = {r['subject']: r for r in read('epoch', device)}
    if not (losses and epoch):
        return ''
    ours, plain = epoch[GHM_CWAP], epoch['cross-entropy']
    steps = int(ours['case'].split()[0])
    extra = (
        steps
        * 1e-3
        * (
            float(losses[GHM_CWAP]['median'])
            - float(losses[CROSS_ENTROPY]['median'])
        )
    )
    end, other = (
        1e-3 * float(re.findall(r'([0-9.]+) ms', row['note'])[0])
        for row in (ours, plain)
    )
    whole = float(plain['median'])
    return (
        'From the parts: the loss adds '
        f'{1e3 * extra:.0f} ms in {steps} steps, the end of the epoch '
        f'{1e3 * (end - other):.0f} ms, together '
        f'{abs(100 * (extra + end - other) / whole):.2f} % of {whole:.0f} s. The '
        'whole epochs differ by more between repetitions than that.\n'
    )


def blocks() -> Dict[str, str]:
    made = {}
    for device in ('cpu', 'cuda'):
        made[f'losses {device}'] = block('losses', device, by_case)
        for name in ('rebin', 'loop', 'epoch', 'large_images', 'many_classes'):
            made[f'{name} {device}'] = block(name, device, listed)
        made[f'table1 {device}'] = table1(device)
        made[f'epoch parts {device}'] = epoch_parts(device)
    made['annotations cpu'] = block('annotations', 'cpu', listed)
    made['start cpu'] = block('start', 'cpu', listed)
    made['use cpu'] = block('use', 'cpu', listed)
    made['accuracy'] = accuracy()
    return made


def main() -> None:
    fill_pages(PAGES, blocks())
    draw(
        'losses_by_classes',
        'classes (batch 256)',
        1,
        RESULTS / 'by_classes.png',
    )
    draw(
        'losses_by_batch', 'batch (1,000 classes)', 0, RESULTS / 'by_batch.png'
    )


if __name__ == '__main__':
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    main()
