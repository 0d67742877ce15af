#!/usr/bin/env python
"""Fill the tables of README and docs/ that come from files in study/results/.

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
from statistics import mean, stdev
from typing import Callable, Dict, List

import matplotlib
from matplotlib.figure import Figure

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmghm.evaluation.priors import ShiftRow
from study import which_loss
from study.benchmarks.harness import RESULTS
from study.benchmarks.losses import CROSS_ENTROPY, GHM_CWAP, MARGIN_ONLY
from study.evidence import METHOD_OF, OLD_DEFAULT, in_words
from study.evidence_tables import read_runs
from study.render import GROUPS, published, setting_of, spread

PAGES = (
    Path('README.md'),
    *(
        Path('docs') / f'{name}.md'
        for name in (
            *('performance', 'benchmarks', 'datasets', 'own_data'),
            *('evidence', 'use', 'which_loss'),
        )
    ),
)
DECODED = Path('study/results/decoded')
CHOOSE = Path('study/results/choose')
# What `test --prior` wrote, without and with a calibration.
USE = Path('study/results/use')
SHOWN_SHIFTS = ('forward 10', 'uniform', 'backward 10')
# The files of choose, use and posthoc call so what `ghm_cwap` was in 0.2.
OLD_GHM_CWAP = "0.2's `ghm_cwap`, balanced margin"
SHOWN_MODELS = {
    'softmax': '`softmax`',
    'ghm_cwap_margin': '`ghm_cwap_margin`',
    'balanced_softmax': '`balanced_softmax`',
    'ghm_cwap': OLD_GHM_CWAP,
}
# Runs of the paper's network on its data: imbalance factor 100, 200 epochs.
FULL = Path('study/results/full')
FULL_REGIME = 'cifar10_if100'
# What study/after_training.py wrote for their checkpoints.
AFTER = FULL / 'after_training'
AFTER_KEYS = {'re-weighed': 'reweighed', 'nearest mean': 'nearest_mean'}
BALANCED_SOFTMAX = 'balanced_margin'
# What is compared seed by seed: what, and what is taken off.
PAIRS = (
    ((BALANCED_SOFTMAX, 'as trained'), ('softmax', 'as trained')),
    (('softmax', 're-weighed'), (BALANCED_SOFTMAX, 're-weighed')),
    (('softmax', 'nearest mean'), (BALANCED_SOFTMAX, 'as trained')),
    *(
        ((setting, what), (other, what))
        for setting, other in (
            ('ghm_cwap', 'ghm_cwap_margin'),
            ('ghm_cwap_balanced', BALANCED_SOFTMAX),
            (OLD_DEFAULT, BALANCED_SOFTMAX),
            ('r_w', 'ghm_cwap_margin'),
            ('r_w', 'seesaw'),
            ('ghm_cwap_balanced', OLD_DEFAULT),
        )
        for what in ('as trained', 're-weighed')
    ),
)
# What `mmghm posthoc` wrote for that of softmax.
REMADE = FULL / 'posthoc'
REMADE_NAMES = {
    'none': 'as trained',
    'logit_adjustment': 'logit adjustment',
    'tau_norm': 'tau-normalisation',
    'crt': 'cRT',
    'lws': 'LWS',
    'ncm': 'nearest class mean',
    'balanced_softmax': 'a head trained with Balanced Softmax',
    'ghm_cwap': f'a head trained with {OLD_GHM_CWAP}',
}
README_ROWS = (
    *('softmax', 'seesaw', 'ldam_drw', 'ghm_cwap_margin', 'ghm_cwap'),
    *(BALANCED_SOFTMAX, 'ghm_cwap_balanced'),
)
# Points of accuracy that make no difference to a user.
CLOSE = 0.5
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
            f'{mean(values):.2f} ± {stdev(values):.2f}',
            ', '.join(f'{value:.2f}' for value in values),
        ]
        for (setting, regime), values in sorted(found.items())
    ]
    header = ['loss', 'data path', 'seeds', 'accuracy', 'each seed']
    return f'{markdown(header, body)}\n{"; ".join(sorted(hardware))}.\n'


def table1(device: str) -> str:
    """What the CIFAR half of Table 1 takes at the measured rate."""
    images = sum(CIFAR_IMAGES) * METHODS * EPOCHS
    needed = images / (60 * MINUTES)
    text = (
        f'{len(CIFAR_IMAGES) * METHODS} cells of {EPOCHS} epochs are '
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


def choose() -> str:
    """What choose recommended beside what the test images say."""
    found = [json.loads(p.read_text()) for p in sorted(CHOOSE.glob('*.json'))]
    body = []
    for one in found:
        row, best = one['chosen_row'], one['best_on_test']
        best = OLD_GHM_CWAP if best == 'ghm_cwap' else best
        held = row['held_out']
        lacks = one['lacks']['value']
        body.append(
            [
                one['name'],
                f'{one["held_out_images"]:,}',
                one['chosen'],
                f'{held["value"]:+.1f} [{held["low"]:.1f}, {held["high"]:.1f}]',
                f'{row["test"]["value"]:+.1f}',
                f'{best}, by {lacks:.1f}' if lacks else 'the same',
                f'{one["inside"]} of {one["compared"]}',
            ]
        )
    header = [
        *('data', 'held-out images', 'recommended', 'its gain, held-out'),
        *('its gain, test', 'best on test', 'gains inside their interval'),
    ]
    close = sum(one['lacks']['value'] < CLOSE for one in found)
    inside, compared = (
        sum(one[part] for one in found) for part in ('inside', 'compared')
    )
    return (
        f'{markdown(header, body)}\n'
        f'In {close} of {len(found)} sets the recommended method is the best on '
        f'the test images or within {CLOSE} points of it; {inside} of '
        f'{compared} gains lie in their held-out intervals.\n'
    )


def full_rows() -> Dict[str, List[str]]:
    """Cells of the runs of 200 epochs by setting, best first."""
    runs = read_runs(FULL)[FULL_REGIME, False]
    ranked = sorted(
        runs, key=lambda s: -mean(r['overall'] for r in runs[s].values())
    )
    rows = {}
    for setting in ranked:
        results = list(runs[setting].values())
        groups = [
            f'{mean(r[f"quartile/{group}"] for r in results):.1f}'
            for group in GROUPS
        ]
        overall = spread([r['overall'] for r in results])
        name = in_words(setting)
        rows[setting] = [name, str(len(results)), overall, *groups]
    return rows


def measured(setting: str, what: str) -> Dict[int, float]:
    """Accuracy of a setting's runs by seed.

    As they were trained, or after a change that needs no training.
    """
    if what == 'as trained':
        runs = read_runs(FULL)[FULL_REGIME, False][setting]
        return {seed: run['overall'] for seed, run in runs.items()}
    found = {}
    for path in FULL.glob('*.json'):
        result, after = json.loads(path.read_text()), AFTER / path.name
        if setting_of(result) == setting and after.exists():
            figures = json.loads(after.read_text())[AFTER_KEYS[what]]
            found[result['cell']['seed']] = figures['overall']
    return found


def after_training(setting: str, what: str) -> str:
    found = list(measured(setting, what).values())
    return spread(found) if found else ''


def pairs() -> str:
    """Differences of the runs of 200 epochs, seed by seed."""
    body = []
    for compared in PAIRS:
        more, less = (measured(*runs) for runs in compared)
        found = [more[seed] - less[seed] for seed in sorted(more.keys() & less)]
        body.append(
            [
                *(f'{in_words(setting)}, {what}' for setting, what in compared),
                ', '.join(f'{value:+.2f}' for value in found),
                spread(found, '+.2f'),
            ]
        )
    return markdown(['what', 'less', 'each seed', 'mean'], body)


def classifiers() -> str:
    """Softmax after 200 epochs, seed 0, with its classifier made again."""
    body = []
    found = json.loads((REMADE / 'softmax__s0.json').read_text())
    for name, made in found.items():
        tau = made['settings'].get('tau')
        accuracy = made['accuracy']
        body.append(
            [
                REMADE_NAMES[name] + (f', tau {tau:g}' if tau else ''),
                f'{accuracy["overall"]:.2f}',
                *(f'{accuracy[f"quartile/{g}"]:.1f}' for g in GROUPS),
                f'{accuracy["worst_class"]:.1f}',
            ]
        )
    body.sort(key=lambda row: -float(row[1]))
    return markdown(['classifier', 'all classes', *GROUPS, 'worst class'], body)


def full_runs() -> str:
    """All runs of 200 epochs."""
    header = [
        *('loss', 'seeds', 'all classes', *GROUPS),
        *('re-weighed', 'nearest mean', 'paper'),
    ]
    body = []
    for setting, row in full_rows().items():
        method = METHOD_OF.get(setting, setting)
        printed = published(method, 'resnet32_cifar10_lt', 100)
        own = [f'{v:.2f}' for k, v in printed.items() if 'GHM-CWAP' in k]
        body.append(
            [
                *row,
                after_training(setting, 're-weighed'),
                after_training(setting, 'nearest mean'),
                *(own or ['']),
            ]
        )
    return markdown(header, body)


def first_table() -> str:
    """README's: the losses that a newcomer knows, by rising accuracy."""
    rows = full_rows()
    shown = [rows[name] for name in reversed(rows) if name in README_ROWS]
    header = [
        *('loss', 'seeds', 'accuracy, all classes', '3 largest classes'),
        *('next 3', 'next 2', '2 smallest'),
    ]
    return markdown(header, shown)


def priors() -> str:
    """What re-weighing gains, by the left-out images it was fitted on."""
    body = []
    for path in USE.glob('*.json'):
        found = json.loads(path.read_text())
        name = path.stem.partition('__')[0]
        if name not in SHOWN_MODELS:
            continue
        fitted = re.search(r'([\d,]+) images$', found['fitted_on'])
        images = fitted[1] if fitted else '0'
        rows = {s['name']: ShiftRow(**s) for s in found['shifts']}
        cells = []
        for shift in SHOWN_SHIFTS:
            row = rows[shift]
            known, estimated = (
                mean - row.trained[0] for mean, _ in (row.known, row.estimated)
            )
            cells.append(
                f'{row.trained[0]:.1f}, {known:+.1f}, {estimated:+.1f}'
            )
        error = f'{rows["uniform"].error[0]:.3f}'
        prior, temperature = found['prior_from'], f'{found["temperature"]:.2f}'
        body.append([name, images, prior, temperature, *cells, error])
    body.sort(
        key=lambda row: (list(SHOWN_MODELS).index(row[0]), _number(row[1]))
    )
    for line in body:
        line[0] = SHOWN_MODELS[line[0]]
    header = ['model', 'left-out images', 'its prior', 'temperature']
    return markdown([*header, *SHOWN_SHIFTS, 'error, uniform'], body)


def _number(text: str) -> int:
    return int(text.replace(',', ''))


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
    made['choose'] = choose()
    made['full runs'] = full_runs()
    made['pairs of seeds'] = pairs()
    made['classifiers'] = classifiers()
    made['first table'] = first_table()
    made['priors'] = priors()
    made['which loss'] = which_loss.table()
    made['weights'] = which_loss.weights()
    made['left-out images'] = which_loss.left_out_images()
    return made


def fill(text: str, name: str, content: str) -> str:
    """Put content between the marks of a block, if the page has it."""
    begin, end = f'<!-- begin: {name} -->\n', '<!-- end -->'
    head, mark, rest = text.partition(begin)
    if not mark:
        return text
    return f'{head}{begin}{content}{rest[rest.index(end) :]}'


def main() -> None:
    pages = {page: page.read_text() for page in PAGES}
    for name, content in blocks().items():
        if not any(f'<!-- begin: {name} -->' in t for t in pages.values()):
            raise ValueError(f'no page has a block <!-- begin: {name} -->')
        pages = {page: fill(t, name, content) for page, t in pages.items()}
    for page, text in pages.items():
        page.write_text(text)
    draw(
        'losses_by_classes',
        'classes (batch 256)',
        1,
        RESULTS / 'by_classes.png',
    )
    draw(
        'losses_by_batch', 'batch (1,000 classes)', 0, RESULTS / 'by_batch.png'
    )
    print(f'Filled {", ".join(map(str, PAGES))}')


if __name__ == '__main__':
    argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    main()
