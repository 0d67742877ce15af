#!/usr/bin/env python
"""Fill the study's tables of README and docs/, and draw the pictures of findings.md.

Those of the benchmarks: study/benchmarks/render.py.

Example:
    python study/pages.py
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.evaluation.priors import ShiftRow
from study import photograph_tables, which_loss
from study.comparisons import (
    Column,
    Pair,
    Runs,
    describe_regime,
    grid_table,
    paired,
    pairs_table,
    read_runs,
)
from study.evidence import OLD_DEFAULT, OLD_MARGIN, in_words
from study.fill import fill_pages
from study.intervals import estimate
from study.pictures import (
    BALANCED_W,
    EXPERIMENTS,
    PAPER_W,
    draw_corrected,
    draw_groups,
    draw_w,
)
from study.render import (
    EMPTY,
    GROUPS,
    NOTE,
    load_results,
    markdown,
    render_columns,
    render_missing,
)
from study.sources import numbers_table, settings_table

PAGES = (
    Path('README.md'),
    *(
        Path('docs') / f'{name}.md'
        for name in (
            *('results', 'findings', 'study_log', 'own_data', 'use'),
            *('which_loss', 'seeing', 'get_started'),
        )
    ),
)
RESULTS = Path('study/results')
# Runs of the paper's network on its data: imbalance factor 100, 200 epochs.
FULL = RESULTS / 'full'
FULL_COLUMN = ('cifar10_if100', False)
EVIDENCE = RESULTS / 'evidence'
PICTURES = RESULTS / 'pictures'
BALANCED = 'balanced_margin'
MARGIN = 'ghm_cwap_margin'
CORRECTED, NEAREST = 'prior_corrected', 'nearest_mean'
# What is compared at the paper's scale.
PAIRS = (
    Pair(BALANCED, 'softmax'),
    Pair('softmax', BALANCED, CORRECTED),
    Pair('softmax', BALANCED, NEAREST, 'overall'),
    *(
        Pair(setting, margin, key)
        for setting, margin in (
            ('r_w', MARGIN),
            ('ghm_cwap_balanced', BALANCED),
            (OLD_DEFAULT, BALANCED),
            ('ghm_cwap_balanced', OLD_DEFAULT),
            ('r_w', 'seesaw'),
        )
        for key in ('overall', CORRECTED)
    ),
)
# CIFAR-100 in a small network.
CIFAR100_SETTINGS = (
    *('softmax', MARGIN, 'ghm_cwap'),
    *(BALANCED, 'ghm_cwap_balanced'),
)
CIFAR100_PAIRS = (
    Pair(BALANCED, 'softmax'),
    Pair(MARGIN, 'softmax'),
    Pair('ghm_cwap', MARGIN),
    Pair('ghm_cwap_balanced', BALANCED),
    Pair('ghm_cwap', BALANCED),
    Pair('ghm_cwap', MARGIN, CORRECTED),
    Pair('ghm_cwap_balanced', BALANCED, CORRECTED),
    Pair('softmax', BALANCED, CORRECTED),
    Pair('softmax', BALANCED, CORRECTED, 'overall'),
)
# What a tenth costs that is held out to calibrate on, and what it brings.
HELD_OUT_PAIRS = (
    Pair('softmax_nine_tenths', 'softmax'),
    Pair('balanced_margin_nine_tenths', BALANCED),
    Pair('softmax_nine_tenths', BALANCED, CORRECTED, 'overall'),
    Pair('balanced_margin_nine_tenths', BALANCED, CORRECTED, 'overall'),
    Pair('softmax', BALANCED, 'tau_of_tenth', 'overall'),
    # By images that training never had.
    Pair('softmax', BALANCED, CORRECTED, 'overall'),
)
# What was tried with each margin on held-out images: with eq. (2)'s, and with that of
# Balanced Softmax.
CHOICES = {
    'W from 60 % of the epochs': ('begin0.6', 'begin0.6_two_sided'),
    'W from 80 %': ('late_g0.8', OLD_DEFAULT),
    'W from 90 %': ('begin0.9', 'begin0.9_two_sided'),
    "80 %, `normalize='none'`, as printed": (
        'late_none',
        'late_none_two_sided',
    ),
    "80 %, `normalize='regions'`": ('late_regions', 'late_regions_two_sided'),
    "80 %, `normalize='mean'`": ('late_mean', 'late_mean_two_sided'),
    "80 %, the finished epoch's histogram": (
        'late_previous',
        'ghm_cwap_balanced',
    ),
    '80 %, a histogram that fades': ('late_fading', 'late_fading_two_sided'),
    '80 %, alpha 0.5': ('late_alpha0.5', 'late_alpha0.5_two_sided'),
    '80 %, W at most 2': ('late_max2', 'late_max2_two_sided'),
}
DIGITS_CHOICES = {
    'equal regions': 'late_ura_two_sided',
    '10 regions': 'late_n10_two_sided',
    '60 regions': 'late_n60_two_sided',
    'momentum 0.9': 'late_momentum_two_sided',
    'g from the raw logits': 'late_raw_two_sided',
    'S from the histograms': 'late_histogram_margin_two_sided',
    'W from the first epoch': 'begin0.0_two_sided',
}
NOISE_CHOICES = {
    'softmax': 'softmax',
    'W from 80 %': OLD_DEFAULT,
    "W from 80 %, the finished epoch's histogram": 'ghm_cwap_balanced',
    "W from 80 %, `normalize='mean'`": 'late_mean_two_sided',
    'W from 80 %, alpha 0.5': 'late_alpha0.5_two_sided',
    'W from 60 %': 'begin0.6_two_sided',
    'W from 30 %': 'begin0.3_two_sided',
}
# README's rows: setting and accuracy.
README_ROWS = (
    ('softmax', 'overall'),
    ('seesaw', 'overall'),
    ('ghm_cwap', 'overall'),
    (BALANCED, 'overall'),
    ('ghm_cwap_balanced', 'overall'),
    ('softmax', CORRECTED),
)
CLASSIFIERS = {
    'logit_adjustment': 'logit adjustment',
    'tau_norm': 'tau-normalisation',
    'crt': 'cRT',
    'lws': 'LWS',
    'ncm': 'nearest class mean',
    'balanced_softmax': 'a head trained with Balanced Softmax',
    'ghm_cwap': 'a head trained with `ghm_cwap` of version 0.2, balanced margin',
}
# The models of study/few_images.py, and of the files in `use`.
MODELS = {
    'softmax': 'softmax',
    'ghm_cwap_margin': "the paper's margin",
    'balanced_margin': 'Balanced Softmax',
    'ghm_cwap_balanced': 'the margin of Balanced Softmax with W',
}
USE = RESULTS / 'use'
USED_MODELS = {
    'softmax': '`softmax`',
    'ghm_cwap_margin': '`ghm_cwap_margin`',
    'balanced_softmax': '`balanced_softmax`',
    'ghm_cwap': '`ghm_cwap` of version 0.2, balanced margin',
}
CHOOSE = RESULTS / 'choose'
# The files of choose call so what `ghm_cwap` was in 0.2.
OLD_GHM_CWAP = '`ghm_cwap` of version 0.2, balanced margin'
# Points of accuracy that make no difference to a user.
CLOSE = 0.5


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


def first_table(runs: Runs) -> str:
    """README's: six rows by rising accuracy."""
    body = []
    for setting, key in README_ROWS:
        seeds = {s: run[key] for s, run in runs[setting].items() if key in run}
        text = estimate(list(seeds.values())).text()
        if len(seeds) == 1:
            (seed,) = seeds
            text += f' (one seed; softmax has {runs["softmax"][seed]["overall"]:.2f} on it)'
        prefix = '' if key == 'overall' else f'{key}/'
        groups = [
            sum(r[f'{prefix}quartile/{g}'] for r in runs[setting].values())
            / len(seeds)
            for g in GROUPS
        ]
        name = in_words(setting)
        if key == CORRECTED:
            name += ', prior-corrected after training'
        body.append(
            [name, str(len(seeds)), text, *(f'{g:.1f}' for g in groups)]
        )
    body.sort(key=lambda row: float(row[2].split()[0]))
    header = ['loss', 'seeds', 'accuracy, mean [95 %]', '3 largest classes']
    header += ['next 3', 'next 2', '2 smallest']
    return markdown(header, body)


def classifiers() -> str:
    """Softmax after 200 epochs, seed 0, with its classifier made again."""
    found = json.loads((FULL / 'posthoc/softmax__s0.json').read_text())
    keys = ['overall', *(f'quartile/{g}' for g in GROUPS), 'worst_class']
    reference = found['none']['accuracy']
    body = []
    for name, words in CLASSIFIERS.items():
        tau = found[name]['settings'].get('tau')
        accuracy = found[name]['accuracy']
        body.append(
            [
                words + (f', tau {tau:g}' if tau else ''),
                *(f'{accuracy[key] - reference[key]:+.1f}' for key in keys),
            ]
        )
    body.sort(key=lambda row: -float(row[1]))
    header = ['classifier', 'all classes', *GROUPS, 'worst class']
    told = ', '.join(f'{reference[key]:.1f}' for key in keys)
    return (
        f'Differences to the model as trained on the same seed (one seed; {told}, in '
        f"the columns' order):\n\n{markdown(header, body)}"
    )


def small_networks(columns: Dict[Column, Runs]) -> Dict[str, str]:
    """What W and the margins do with small networks and short schedules."""
    weights, margins = {}, {}
    for regime in EXPERIMENTS:
        runs = columns.get((regime, False))
        if runs is None:
            continue
        line = f'`{regime}`'
        for name, pairs in (
            ("W to the paper's margin", PAPER_W),
            ('W to the margin of Balanced Softmax', BALANCED_W),
        ):
            for setting, margin in pairs:
                values = paired(runs, Pair(setting, margin))
                if values:
                    weights[line, name] = values
                    break
        for rival in ('softmax', 'seesaw', 'ldam_drw'):
            margins[line, f'minus {in_words(rival)}'] = paired(
                runs, Pair(BALANCED, rival)
            )
    return {
        'what W adds': grid_table(weights, 'experiment', averaged=True),
        'what Balanced Softmax adds': grid_table(margins, 'experiment'),
    }


def experiments(columns: Dict[Column, Runs]) -> str:
    """What the small experiments are."""
    body = [
        [f'`{name}`', describe_regime(name)]
        for name in EXPERIMENTS
        if (name, False) in columns
    ]
    return markdown(['experiment', 'what it is'], body)


def choices(columns: Dict[Column, Runs]) -> Dict[str, str]:
    """What was compared on held-out train images."""
    base, digits = columns['base', True], columns['digits', True]
    by_margin = {}
    for name, (paper, balanced) in CHOICES.items():
        by_margin[name, "with the paper's margin"] = paired(
            base, Pair(paper, OLD_MARGIN)
        )
        by_margin[name, 'with that of Balanced Softmax'] = paired(
            base, Pair(balanced, BALANCED)
        )
    on_digits = {
        (name, 'minus Balanced Softmax'): paired(
            digits, Pair(setting, BALANCED)
        )
        for name, setting in DIGITS_CHOICES.items()
    }
    for regime in ('digits', 'digits_if50'):
        on_digits[
            f"the finished epoch's histogram, `{regime}`",
            'minus the running one',
        ] = paired(
            columns[regime, True], Pair('ghm_cwap_balanced', OLD_DEFAULT)
        )
    noise = {
        (name, f'`{regime}`'): paired(
            columns[regime, True], Pair(setting, BALANCED)
        )
        for name, setting in NOISE_CHOICES.items()
        for regime in ('noise20', 'noise40')
    }
    return {
        'choices': grid_table(by_margin, 'setting'),
        'choices digits': grid_table(on_digits, 'setting'),
        'choices noise': grid_table(noise, 'setting'),
    }


def doors() -> Dict[str, str]:
    """Sizes and minutes of README's commands."""
    file = RESULTS / 'performance/doors.json'
    found = json.loads(file.read_text())
    minutes, size = found['minutes'], found['gigabytes']
    install, start, _, choose, again, train = minutes
    return {
        'minutes': (
            f'With {found["images"]:,} photographs of Caltech-101 and no GPU '
            f'({found["hardware"]}) `choose` took\n{told(minutes[choose])}, '
            f'{told(minutes[choose] - minutes[again])} of it to read the '
            'photographs. The training that it names\n'
            f'took {told(minutes[train])}.\n'
        ),
        'install': (
            f'`{install}` takes {size[install]:.1f} GB, nearly all of it PyTorch '
            f'with CUDA; with fast access\nto the package index it took '
            f'{told(minutes[install])}. On a machine without a GPU install the '
            '[CPU\nbuild](https://pytorch.org/get-started/locally/) of torch '
            '*and* torchvision first: it is a\nfraction of that.\n'
        ),
        'start': f'It took {told(minutes[start])} without a GPU, and ends with:\n',
    }


def told(minutes: float) -> str:
    """A time as one says it."""
    if minutes < 1.5:
        return f'{60 * minutes:.0f} seconds'
    return f'{minutes:.0f} minutes'


CONTROLS = (
    *('softmax', MARGIN, 'ghm_cwap_printed', 'ghm_cwap_printed_lr0.01'),
    *('ghm_cwap_printed_clipped', 'ghm_cwap_first_epoch_regions'),
    'ghm_cwap_first_epoch_mean',
)


def controls(columns: Dict[Column, Runs]) -> str:
    """What keeps the printed method from diverging."""
    small = columns['controls', True]
    large = columns['controls_resnet32', False]
    body = []
    for setting in CONTROLS:
        values, ten_epochs = (
            [run['overall'] for run in runs.get(setting, {}).values()]
            for runs in (small, large)
        )
        body.append(
            [
                in_words(setting),
                *each_and_mean(values),
                ', '.join(f'{value:.1f}' for value in ten_epochs) or EMPTY,
            ]
        )
    header = ['method', 'small network, each seed', 'mean [95 %]']
    return markdown([*header, 'ResNet-32, ten epochs, seed 0'], body)


def held_out_tenth(runs: Runs) -> str:
    """What a tenth costs that is held out to calibrate on, and what it brings."""
    for seed, run in runs['softmax'].items():
        path = EVIDENCE / f'posthoc/softmax__held_out_tenth__s{seed}.json'
        found = json.loads(path.read_text())['logit_adjustment']
        run['tau_of_tenth'] = found['accuracy']['overall']
    return pairs_table(runs, HELD_OUT_PAIRS)


def each_and_mean(values: List[float]) -> List[str]:
    """Accuracy of each seed, and their mean with its interval."""
    return [
        ', '.join(f'{value:.1f}' for value in values),
        estimate(values).text(),
    ]


def cifar100(runs: Runs) -> str:
    """CIFAR-100 in a small network: accuracies, and what differs."""
    body = []
    for setting in CIFAR100_SETTINGS:
        seeds = runs[setting].values()
        body.append(
            [
                in_words(setting),
                *each_and_mean([run['overall'] for run in seeds]),
                estimate([run[CORRECTED] for run in seeds]).text(),
                *(
                    f'{np.mean([run[f"quartile/{group}"] for run in seeds]):.1f}'
                    for group in GROUPS
                ),
            ]
        )
    header = ['method', 'each seed', 'mean [95 %]', 'prior-corrected']
    table = markdown([*header, *GROUPS], body)
    return f'{table}\n{pairs_table(runs, CIFAR100_PAIRS)}'


RULES = {
    'stated': "the loss's prior",
    'measured': 'measured',
    'tested': 'until 0.2',
    'shrunk': '`calibrate`',
}


def read_draws() -> Dict[str, Any]:
    """What study/few_images.py wrote."""
    return json.loads((RESULTS / 'prior/draws.json').read_text())


def quantiles(values: List[float], form: str = '.2f') -> str:
    """Median, and from the 5 % to the 95 % quantile."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return f'{middle:{form}} [{low:{form}}, {high:{form}}]'


def few_images(found: Dict[str, Any]) -> str:
    """Accuracy by the rule of the prior and the calibration images."""
    body = []
    for setting, model in found['models'].items():
        for size, part in model['sizes'].items():
            body.append(
                [
                    f'{MODELS[setting]} ({model["as_trained"]:.2f})',
                    f'{size} a class' if size.isdigit() else size,
                    f'{part["images"]:,}',
                    *(
                        quantiles(part['rules'][rule]['accuracy'])
                        if rule in part['rules']
                        else EMPTY
                        for rule in RULES
                    ),
                ]
            )
    header = ['model (as trained)', 'calibration images', 'in all']
    return markdown([*header, *RULES.values()], body)


def expected_powers(found: Dict[str, Any]) -> str:
    """What powers models have, and what calibrate expects."""
    body = []
    for family, one in found['families'].items():
        stated = one['stated']
        powers = one['measured']
        body.append(
            [
                in_words(family),
                EMPTY if stated is None else f'{abs(stated):.2f}',
                f'{sum(powers) / len(powers):.2f}',
                str(len(powers)),
            ]
        )
    fitted = found['fitted']
    table = markdown(
        ['losses', "the loss's power", 'measured, mean', 'models'], body
    )
    return (
        f"{table}\nPowers of the train counts that the prior of the study's models "
        'follows, each measured on 2,700 images; losses with the same margin count as '
        f'one. Of what a loss takes away {100 * fitted["kept"]:.0f} % is left, with a '
        f'standard deviation of {fitted["kept_deviation"]:.2f} in the power. Where the '
        f'formula states no prior the power is {fitted["unstated"]:.2f}, standard '
        f'deviation {fitted["unstated_deviation"]:.2f}. Rounded, these are the '
        'constants of `calibrate`. All come from one network on one dataset. The third '
        'model of softmax is missing: its prior of 1 was not rejected, so that no '
        'power was kept.\n'
    )


def taus(found: Dict[str, Any]) -> str:
    """Tau of the correction, and the accuracy with fixed ones."""
    fixed = ('0.0', '0.5', '0.8', '1.0', '1.7', '2.0')
    body = []
    for setting, model in found['models'].items():
        sizes = model['sizes']
        body.append(
            [
                MODELS[setting],
                *(
                    quantiles(sizes[size]['rules']['shrunk']['tau'])
                    for size in ('300', 'long-tailed')
                ),
                *(f'{model["by_tau"][tau]:.2f}' for tau in fixed),
            ]
        )
    header = ['model', 'tau, 300 a class', 'tau, long-tailed']
    return markdown([*header, *(f'accuracy at {t}' for t in fixed)], body)


def w_by_group(runs: Runs) -> str:
    """What W adds to the groups of classes."""
    cells = {}
    for name, (setting, margin) in (
        ("the paper's margin", PAPER_W[0]),
        ('the margin of Balanced Softmax', BALANCED_W[0]),
    ):
        for key, words in (('', 'as trained'), (CORRECTED, 'prior-corrected')):
            for group in GROUPS:
                full = f'{key}/quartile/{group}' if key else f'quartile/{group}'
                cells[f'{name}, {words}', group] = paired(
                    runs, Pair(setting, margin, full)
                )
    return grid_table(cells, 'W added to')


def priors() -> str:
    """What the correction gains on test sets with other class proportions."""
    body = []
    for path in USE.glob('*.json'):
        found = json.loads(path.read_text())
        name = path.stem.partition('__')[0]
        fitted = re.search(r'([\d,]+) images$', found['fitted_on'])
        rows = {s['name']: ShiftRow(**s) for s in found['shifts']}
        cells = []
        for shift in ('forward 10', 'uniform', 'backward 10'):
            row = rows[shift]
            known, estimated = (
                value - row.trained[0]
                for value, _ in (row.known, row.estimated)
            )
            cells.append(
                f'{row.trained[0]:.1f}, {known:+.1f}, {estimated:+.1f}'
            )
        body.append(
            [
                USED_MODELS[name],
                fitted[1] if fitted else '0',
                re.sub('^stated by .*', "its loss's", found['prior_from']),
                f'{found["temperature"]:.2f}',
                *cells,
                f'{rows["uniform"].error[0]:.3f}',
            ]
        )
    names = list(USED_MODELS.values())
    body.sort(key=lambda row: (names.index(row[0]), row[1]))
    header = ['model', 'left-out images', 'its prior', 'temperature']
    header += ['forward 10', 'uniform', 'backward 10', 'error, uniform']
    return markdown(header, body)


def label_errors() -> str:
    """How many planted wrong labels the report's list finds."""
    found = json.loads((RESULTS / 'photographs/label_errors.json').read_text())
    body = []
    for name, words in (
        ('all', 'all'),
        ('rarest_quarter', 'the rarest quarter'),
    ):
        parts = [one[name] for one in found]
        body.append(
            [
                words,
                *(
                    f'{100 * np.mean([part[key] for part in parts]):.0f} %'
                    for key in ('recall', 'precision', 'precision_of_shown')
                ),
            ]
        )
    header = ['classes', 'of the planted labels, on the list']
    header += ['of the list, planted', 'of its first 12, planted']
    return (
        f'On Caltech-101 with {100 * found[0]["flipped"]:.0f} % of '
        f'{found[0]["all"]["images"]:,} train labels replaced at random, means of '
        f'{len(found)} draws:\n\n{markdown(header, body)}'
    )


def blocks() -> Dict[str, str]:
    """All tables by the names of their marks."""
    full, small = read_runs(FULL), read_runs(EVIDENCE)
    runs = full[FULL_COLUMN]
    quick, long = load_results(RESULTS), load_results(FULL)
    draws = read_draws()
    return {
        'first table': first_table(runs),
        'how to read': f'{NOTE}\n',
        'results cifar10': render_columns(long, ''),
        'results digits': render_columns(quick, ''),
        'comparisons': pairs_table(runs, PAIRS),
        'classifiers': classifiers(),
        'experiments': experiments(small),
        **small_networks(small),
        **choices(small),
        'controls': controls(small),
        'held-out tenth': held_out_tenth(small['held_out_tenth', False]),
        'cifar100': cifar100(small['cifar100_resnet8', False]),
        'not run': render_missing([*quick, *long]),
        'settings': settings_table(),
        'numbers': numbers_table(),
        'few images': few_images(draws),
        'expected powers': expected_powers(draws),
        'taus': taus(draws),
        'W by group': w_by_group(runs),
        'priors': priors(),
        'choose': choose(),
        'label errors': label_errors(),
        'photographs': photograph_tables.frozen_tables(),
        'fine-tuned': photograph_tables.fine_tuned_table(),
        'plain script': photograph_tables.plain_table(),
        'which loss': which_loss.table(),
        'short training': which_loss.short_training(),
        'weights': which_loss.weights(),
        'left-out images': which_loss.left_out_images(),
        **doors(),
    }


def draw() -> None:
    """Draw the pictures of findings.md."""
    full, small = read_runs(FULL), read_runs(EVIDENCE)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ('groups', draw_groups(full[FULL_COLUMN])),
        ('prior_corrected', draw_corrected(full[FULL_COLUMN])),
        ('what_w_adds', draw_w({**small, **full})),
    ):
        figure.savefig(PICTURES / f'{name}.png', dpi=130)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--check', action='store_true', help='end with an error if it is needed'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    fill_pages(PAGES, blocks(), args.check)
    if not args.check:
        draw()


if __name__ == '__main__':
    main(parse_args())
