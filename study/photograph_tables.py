"""Tables of the methods on photographs, from the files of study/photographs.py."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from mmghm.evaluation.groups import QUARTILE_NAMES
from study.comparisons import verdict_words
from study.intervals import Estimate, estimate

RESULTS = Path('study/results/photographs')
FIRST = ' from the first epoch'
PAIRS = (
    ('balanced_softmax', 'softmax'),
    ('ghm_cwap_margin', 'softmax'),
    ('logit_adjustment', 'balanced_softmax'),
    ('ghm_cwap', 'ghm_cwap_margin'),
    ('ghm_cwap from the first epoch', 'ghm_cwap_margin'),
    ('ghm_cwap_printed', 'ghm_cwap_margin'),
    ('ghm_cwap_balanced', 'balanced_softmax'),
    ('ghm_cwap_balanced from the first epoch', 'balanced_softmax'),
    ('ncm', 'softmax'),
)
FINE_TUNED_PAIRS = (
    ('balanced_softmax', 'softmax'),
    ('ghm_cwap', 'softmax'),
    ('balanced_softmax', 'ghm_cwap'),
    ('ghm_cwap_balanced', 'balanced_softmax'),
)
NAMES = ('macro', 'overall', QUARTILE_NAMES[-1])
# Two methods, and which accuracy of theirs.
Comparison = Tuple[Tuple[str, str], str]
TITLES = {
    'natural': 'Caltech-101 as it is',
    'if100': 'Caltech-101 made longer-tailed',
}
LABELS = {
    'softmax': 'softmax cross-entropy',
    'class_balanced': 'class-balanced weights',
    'effective_number': 'effective number',
    'ghm_c': 'GHM-C',
    'seesaw': 'Seesaw',
    'ldam': 'LDAM',
    'ldam_drw': 'LDAM-DRW',
    'balanced_softmax': 'Balanced Softmax',
    'ghm_cwap_margin': "the paper's margin alone, eq. (2)",
    'ghm_cwap': "`ghm_cwap`, the paper's method",
    f'ghm_cwap{FIRST}': '`ghm_cwap`, W from the first epoch',
    'ghm_cwap_printed': '`ghm_cwap_printed`, nothing changed',
    'ghm_cwap_balanced': '`ghm_cwap_balanced`, our variant',
    f'ghm_cwap_balanced{FIRST}': '`ghm_cwap_balanced`, W from the first epoch',
    'logit_adjustment': 'softmax, then logit adjustment',
    'tau_norm': 'softmax, then tau-normalisation',
    'crt': 'softmax, then cRT',
    'ncm': 'nearest class mean',
}


def column(
    found: List[Dict[str, Any]],
    method: str,
    name: str,
    kind: str = 'as_trained',
) -> np.ndarray:
    """An accuracy of a method, for each draw."""
    return np.array([one['methods'][method][kind][name] for one in found])


def over_draws(found: List[Dict[str, Any]], values: np.ndarray) -> Estimate:
    """Mean of a figure of each draw; all draws divide the same photographs."""
    one = found[0]
    return estimate(values.tolist(), one['test_images'] / one['train_images'])


def compare(
    found: List[Dict[str, Any]], pairs: Sequence[Tuple[str, str]]
) -> Dict[Comparison, str]:
    """Differences paired by draw, with a verdict each.

    The macro accuracy of each method minus softmax, and all figures of the pairs,
    are one family for Holm's correction.
    """
    wanted = [
        *(
            ((m, 'softmax'), 'macro')
            for m in found[0]['methods']
            if m != 'softmax'
        ),
        *((pair, name) for pair in pairs for name in NAMES),
    ]
    estimates = {
        (pair, name): over_draws(
            found,
            column(found, pair[0], name) - column(found, pair[1], name),
        )
        for pair, name in dict.fromkeys(wanted)
    }
    words = verdict_words(list(estimates.values()))
    return {
        key: f'{one.text("+.1f")} {word}'
        for (key, one), word in zip(estimates.items(), words)
    }


def differences(
    said: Dict[Comparison, str], pairs: Sequence[Tuple[str, str]]
) -> str:
    """A table of markdown: pairs of methods, paired by draw."""
    lines = [
        '| difference | macro | overall | rarest quarter |',
        '| --- | --- | --- | --- |',
    ]
    for pair in pairs:
        what = ' minus '.join(LABELS.get(name, name) for name in pair)
        cells = ' | '.join(said[pair, name] for name in NAMES)
        lines.append(f'| {what} | {cells} |')
    told = f'{len(said)} comparisons in both tables.'
    return '\n'.join([*lines, '', told])


def rows(
    found: List[Dict[str, Any]], said: Dict[Comparison, str], corrected: str
) -> List[str]:
    """Lines of a table of markdown: a method a row, means over the draws.

    The last column is the macro accuracy that is kept as ``prior_corrected``.
    """
    lines = [
        '| method | overall | macro | rarest quarter | macro minus softmax '
        f'[95 %] | {corrected} |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    for method in found[0]['methods']:
        gain = said.get(((method, 'softmax'), 'macro'), '')
        macro = column(found, method, 'macro')
        rare = column(found, method, QUARTILE_NAMES[-1])
        lines.append(
            f'| {LABELS.get(method, method)} '
            f'| {column(found, method, "overall").mean():.1f} '
            f'| {macro.mean():.1f} | {rare.mean():.1f} | {gain} '
            f'| {column(found, method, "macro", "prior_corrected").mean():.1f} |'
        )
    return lines


def table(found: List[Dict[str, Any]], said: Dict[Comparison, str]) -> str:
    """The methods, and what ``choose`` takes."""
    lines = rows(found, said, 'macro after prior correction')
    best = [
        max(v['as_trained']['macro'] for v in one['methods'].values())
        for one in found
    ]
    taken = np.array(
        [one['methods'][one['chosen']]['as_trained']['macro'] for one in found]
    )
    beside = taken - column(found, 'balanced_softmax', 'macro')
    names = ', '.join(
        f'{LABELS.get(name, name)} ({number} of {len(found)})'
        for name, number in Counter(
            one['chosen'] for one in found
        ).most_common()
    )
    lines += [
        '',
        f'{found[0]["train_images"]:,} train and {found[0]["test_images"]:,} '
        f'test images, imbalance factor {found[0]["imbalance_factor"]:g}, '
        f'{len(found)} draws; {found[0]["hardware"]}. By held-out train images '
        f'`choose` takes {names}. On test images its macro accuracy is '
        f'{taken.mean():.1f}, that of the best of all methods on each draw, picked '
        f'on the test images, {np.mean(best):.1f}. Minus Balanced Softmax in each '
        f'draw it is {over_draws(found, beside).text("+.1f")}.',
    ]
    return '\n'.join(lines)


def read(kind: str) -> List[Dict[str, Any]]:
    """Results whose file begins so, in the order of their draws."""
    found = [json.loads(p.read_text()) for p in RESULTS.glob(f'{kind}_*.json')]
    return sorted(found, key=lambda one: one['draw'])


def frozen_tables() -> str:
    """Methods and differences, on the photographs as they are and made longer-tailed."""
    parts = []
    for name, title in TITLES.items():
        found = read(f'frozen_{name}')
        said = compare(found, PAIRS)
        parts.append(
            f'**{title}**\n\n{table(found, said)}\n\n{differences(said, PAIRS)}\n'
        )
    return '\n'.join(parts)


def fine_tuned_table() -> str:
    """Whole networks, trained on from their weights, paired by draw."""
    runs = read('fine_tuned')
    made = {run['method'] for run in runs}
    found: List[Dict[str, Any]] = []
    for draw in sorted({run['draw'] for run in runs}):
        of = {run['method']: run for run in runs if run['draw'] == draw}
        if set(of) == made:
            methods = {
                method: dict(
                    as_trained=of[method]['as_trained'],
                    prior_corrected=of[method]['logit_adjusted'],
                )
                for method in LABELS
                if method in of
            }
            found.append(dict(of['softmax'], methods=methods))
    one, said = found[0], compare(found, FINE_TUNED_PAIRS)
    minutes = [run['seconds'] / 60 for run in runs]
    return '\n'.join(
        [
            *rows(found, said, 'macro, one log n taken off'),
            '',
            f'{one["train_images"]:,} train and {one["test_images"]:,} test images '
            f'of {one["image_size"]} pixels, {one["epochs"]} epochs, '
            f'{len(found)} draws; {one["hardware"]}. A run took '
            f'{min(minutes):.0f} to {max(minutes):.0f} minutes, with other work '
            f'on the machine, all {sum(minutes) / 60:.1f} hours.',
            '',
            differences(said, FINE_TUNED_PAIRS),
            '',
        ]
    )


def plain_table() -> str:
    """Balanced Softmax by a script of plain torchvision, and by mmghm."""
    (one,) = read('plain')
    script, ours = one['script'], one['mmghm']
    lines = [
        '| | written | minutes | overall | macro |',
        '| --- | --- | --- | --- | --- |',
    ]
    for name, written, of in (
        ('a plain script', f'{script["lines"]} lines', script),
        ('`mmghm`', f'{ours["commands"]} commands', ours),
    ):
        lines.append(
            f'| {name} | {written} | {of["minutes"]:.1f} '
            f'| {of["overall"]:.1f} | {of["macro"]:.1f} |'
        )
    return '\n'.join(
        [*lines, '', f'Draw {one["draw"]}; {one["hardware"]}.', '']
    )
