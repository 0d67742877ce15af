"""The tables of the page "Which loss when"."""

import json
from pathlib import Path
from typing import Dict, List

from .comparisons import Pair, paired, read_runs
from .intervals import Estimate, estimate
from .render import markdown

RESULTS = Path('study/results')
BALANCED_SOFTMAX = 'balanced_margin'
# Methods by the names of the runs; the second name is that of `choose`, whose
# files, all but those of the digits, were made with 0.1.
TRAINED = {
    'Balanced Softmax': (BALANCED_SOFTMAX, 'balanced_softmax'),
    "`ghm_cwap`, the paper's method": ('ghm_cwap', ''),
    '`ghm_cwap_balanced`, our variant': (
        'ghm_cwap_balanced',
        'ghm_cwap_balanced',
    ),
    'Seesaw': ('seesaw', 'seesaw'),
    'effective number, deferred': (
        'effective_number_drw',
        'effective_number_drw',
    ),
    'LDAM-DRW': ('ldam_drw', 'ldam_drw'),
}
AFTERWARDS = {
    'softmax, prior corrected with left-out images': ('prior_corrected', ''),
    'softmax, logit adjustment': ('', 'logit_adjustment'),
    'softmax, nearest class mean': ('nearest_mean', 'ncm'),
    'softmax, classifier trained again (cRT)': ('', 'crt'),
}
# What `mmghm posthoc` wrote for one of the long runs.
POSTHOC = 'full/posthoc/softmax__s0.json'
CHOSEN = {
    'CIFAR-10, short training': 'cifar10_*',
    'digits': 'digits_*',
    'characters': 'text_*',
}
# Linear classifiers on a frozen network, by study/photographs.py.
PHOTOGRAPHS = {
    'photographs': 'frozen_natural_*',
    'photographs, longer tail': 'frozen_if100_*',
}
NOISE = {'20 % wrong labels': 'noise20', '40 % wrong labels': 'noise40'}
LONG = 'CIFAR-10, long training'
FULL = ('cifar10_if100', False)
# A margin with the weights W, and the margin alone.
WEIGHTED = {
    'ghm_cwap': ('`ghm_cwap`', 'ghm_cwap_margin'),
    'ghm_cwap_balanced': ('`ghm_cwap_balanced`', BALANCED_SOFTMAX),
}
# Files of `test --prior` by what their correction has seen of each class.
SEEN = {'the formula alone': 'loss', '300 images': 'images'}
TEST_SETS = {
    'forward 50': 'long-tailed by 50',
    'uniform': 'equally frequent classes',
    'backward 50': 'inverted by 50',
}
Gains = Dict[str, Estimate]


def gains(found: Dict[str, List[float]], overlap: float = 0) -> Gains:
    """Estimate what methods gain.

    Args:
        found (Dict[str, List[float]]): Points over softmax by method.
        overlap (float): See :func:`~.intervals.estimate`.

    Returns:
        Gains: Of the methods that were measured.
    """
    return {
        name: estimate(values, overlap)
        for name, values in found.items()
        if values
    }


def long_training() -> Gains:
    """ResNet-32 for 200 epochs, paired by seed.

    Returns:
        Gains: By method.
    """
    runs = read_runs(RESULTS / 'full')[FULL]
    found = {
        name: paired(runs, Pair(setting, 'softmax'))
        for name, (setting, _) in TRAINED.items()
    }
    posthoc = json.loads((RESULTS / POSTHOC).read_text())
    for name, (key, method) in AFTERWARDS.items():
        if key:
            pair = Pair('softmax', 'softmax', key, 'overall')
            found[name] = paired(runs, pair)
        else:
            after, before = (
                posthoc[one]['accuracy']['macro'] for one in (method, 'none')
            )
            found[name] = [after - before]
    return gains(found)


def checked_sets(pattern: str) -> List[Dict[str, Dict[str, float]]]:
    """Gains over softmax, by method, of the sets on which `choose` was checked."""
    return [
        {
            row['method']: row['test']
            for row in json.loads(p.read_text())['rows']
        }
        for p in sorted((RESULTS / 'choose').glob(pattern))
    ]


def short_training() -> str:
    """Logit adjustment beside Balanced Softmax, paired by draw."""
    gain = estimate(
        [
            of['logit_adjustment']['value'] - of['balanced_softmax']['value']
            for of in checked_sets(CHOSEN['CIFAR-10, short training'])
        ]
    )
    return (
        'CIFAR-10, short training: logit adjustment minus Balanced Softmax, '
        f'paired by draw: {told(gain)}.\n'
    )


def by_choose(pattern: str) -> Gains:
    """Test images of the sets on which `choose` was checked.

    Args:
        pattern (str): Which sets, one draw each.

    Returns:
        Gains: By method; of a single set with its interval over images.
    """
    sets = checked_sets(pattern)
    found: Gains = {}
    for name, (_, method) in {**TRAINED, **AFTERWARDS}.items():
        rows = [rows[method] for rows in sets if method in rows]
        if rows:
            found[name] = estimate([row['value'] for row in rows])
        if rows and len(sets) == 1:
            low, high = rows[0]['low'], rows[0]['high']
            found[name] = found[name]._replace(low=low, high=high)
    return found


def on_photographs(pattern: str) -> Gains:
    """Linear classifiers on features of photographs, paired by draw.

    Args:
        pattern (str): Which results, one draw each.

    Returns:
        Gains: By method.
    """
    found = [
        json.loads(path.read_text())
        for path in sorted((RESULTS / 'photographs').glob(pattern))
    ]
    draws = [one['methods'] for one in found]
    where = {
        **{
            name: (setting, 'as_trained')
            for name, (setting, _) in TRAINED.items()
        },
        **{name: (m, 'as_trained') for name, (_, m) in AFTERWARDS.items() if m},
        'Balanced Softmax': ('balanced_softmax', 'as_trained'),
        'softmax, prior corrected with left-out images': (
            'softmax',
            'prior_corrected',
        ),
    }
    return gains(
        {
            name: [
                methods[method][kind]['macro']
                - methods['softmax']['as_trained']['macro']
                for methods in draws
                if method in methods
            ]
            for name, (method, kind) in where.items()
        },
        found[0]['test_images'] / found[0]['train_images'],
    )


def under_noise(regime: str) -> Gains:
    """Wrong train labels, paired by seed.

    Args:
        regime (str): Name of the experiment.

    Returns:
        Gains: By method.
    """
    runs = read_runs(RESULTS / 'evidence')[regime, False]
    return gains(
        {
            name: paired(runs, Pair(setting, 'softmax'))
            for name, (setting, _) in TRAINED.items()
        }
    )


def table() -> str:
    """All methods and experiments.

    Returns:
        str: Markdown.
    """
    columns = {
        **{name: on_photographs(which) for name, which in PHOTOGRAPHS.items()},
        LONG: long_training(),
        **{name: by_choose(pattern) for name, pattern in CHOSEN.items()},
        **{name: under_noise(regime) for name, regime in NOISE.items()},
    }
    body = [
        [
            name,
            *(told(of[name]) if name in of else '' for of in columns.values()),
        ]
        for name in (*TRAINED, *AFTERWARDS)
    ]
    return markdown(['method', *columns], body)


def told(gain: Estimate) -> str:
    """Mean and interval, which stays on one line in a narrow cell."""
    return gain.text('+.1f').replace(', ', ',\u00a0')


def weights() -> str:
    """What the weights of eq. (1) add to a margin, as trained and corrected.

    Returns:
        str: Markdown.
    """
    runs = read_runs(RESULTS / 'full')[FULL]
    body = []
    for setting, (name, margin) in WEIGHTED.items():
        found = [
            estimate(paired(runs, Pair(setting, margin, key)))
            for key in ('overall', 'prior_corrected')
        ]
        body.append([name, str(found[0].number), *map(told, found)])
    header = ['loss', 'seeds', 'as trained', 'with a corrected prior']
    return markdown(header, body)


def left_out_images() -> str:
    """Accuracy by test set and by what the correction has seen.

    Returns:
        str: Markdown.
    """
    body: List[List[str]] = []
    for method, name in (
        ('softmax', 'softmax'),
        ('balanced_softmax', 'Balanced Softmax'),
    ):
        for seen, file in SEEN.items():
            path = RESULTS / 'use' / f'{method}__prior_of_{file}.json'
            shifts = {
                row['name']: row
                for row in json.loads(path.read_text())['shifts']
            }
            if not body or body[-1][0] != name:
                trained = [f'{shifts[s]["trained"][0]:.1f}' for s in TEST_SETS]
                body.append([name, 'not corrected', *trained])
            known = [f'{shifts[s]["known"][0]:.1f}' for s in TEST_SETS]
            body.append([name, seen, *known])
    header = ['model', 'the correction has seen, of each class']
    return markdown([*header, *TEST_SETS.values()], body)
