"""The tables of the page "Which loss when"."""

import json
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from .comparisons import Pair, paired, read_runs
from .intervals import Estimate, estimate
from .render import markdown, setting_of

RESULTS = Path('study/results')
BALANCED_SOFTMAX = 'balanced_margin'
# Methods by the names of the runs; the second name is that of `choose`, which
# was measured with version 0.2: its `ghm_cwap` had the balanced margin.
TRAINED = {
    'Balanced Softmax': (BALANCED_SOFTMAX, 'balanced_softmax'),
    "`ghm_cwap`, the paper's method": ('ghm_cwap', None),
    '`ghm_cwap_balanced`, our variant': ('ghm_cwap_balanced', None),
    'Seesaw': ('seesaw', 'seesaw'),
    'effective number, deferred': (
        'effective_number_drw',
        'effective_number_drw',
    ),
    'LDAM-DRW': ('ldam_drw', 'ldam_drw'),
}
AFTERWARDS = {
    'softmax, prior corrected with left-out images': ('prior_corrected', None),
    'softmax, logit adjustment': (None, 'logit_adjustment'),
    'softmax, nearest class mean': ('nearest_mean', 'ncm'),
    'softmax, classifier trained again (cRT)': (None, 'crt'),
}
# What `mmghm posthoc` wrote for one of the long runs.
POSTHOC = 'full/posthoc/softmax__s0.json'
CHOSEN = {
    'CIFAR-10, short training': 'cifar10_*',
    'digits': 'digits_*',
    'characters': 'text_*',
}
NOISE = {'20 % wrong labels': 'noise20', '40 % wrong labels': 'noise40'}
LONG = 'CIFAR-10, long training'
# A margin with the weights W, and the margin alone.
WEIGHTED = {
    'ghm_cwap': ('`ghm_cwap`', 'ghm_cwap_margin'),
    'ghm_cwap_balanced': ('`ghm_cwap_balanced`', BALANCED_SOFTMAX),
}
# Files of `test --prior` by what their correction has seen of each class.
SEEN = {
    'the formula alone': 'loss',
    '5 images': '45_images',
    '20 images': '180_images',
    '300 images': 'images',
}
TEST_SETS = {
    'forward 50': 'long-tailed by 50',
    'uniform': 'equally frequent classes',
    'backward 50': 'inverted by 50',
}


def gain_of(values: Sequence[float]) -> Optional[Estimate]:
    """Mean and interval of differences; None without a value."""
    return estimate(values) if values else None


def cell(gain: Optional[Estimate]) -> str:
    """A cell of the table: on one line in a narrow column."""
    return '' if gain is None else gain.text('+.1f').replace(', ', ',\u00a0')


def after_training(setting: str) -> Dict[int, Dict[str, Dict[str, float]]]:
    """What study/after_training.py found for the long runs.

    Args:
        setting (str): Name of what was trained.

    Returns:
        Dict[int, Dict[str, Dict[str, float]]]: By seed.
    """
    found = {}
    for path in sorted((RESULTS / 'full').glob('*.json')):
        result = json.loads(path.read_text())
        after = path.parent / 'after_training' / path.name
        if setting_of(result) == setting and after.exists():
            found[result['cell']['seed']] = json.loads(after.read_text())
    return found


def long_training() -> Dict[str, Optional[Estimate]]:
    """ResNet-32 for 200 epochs, paired by seed.

    Returns:
        Dict[str, Optional[Estimate]]: By method.
    """
    folder = RESULTS / 'full'
    runs = read_runs(folder)['cifar10_if100', False]
    found = {
        name: gain_of(paired(runs, Pair(setting, 'softmax')))
        for name, (setting, _) in TRAINED.items()
    }
    changed = after_training('softmax')
    for name, (key, _) in AFTERWARDS.items():
        if key is not None:
            found[name] = gain_of(
                [
                    one[key]['overall'] - one['as_trained']['overall']
                    for one in changed.values()
                ]
            )
    posthoc = json.loads((RESULTS / POSTHOC).read_text())
    before = posthoc['none']['accuracy']['macro']
    for name, (key, method) in AFTERWARDS.items():
        if key is None:
            after = posthoc[method]['accuracy']['macro']
            found[name] = gain_of([after - before])
    return found


def by_choose(pattern: str) -> Dict[str, Optional[Estimate]]:
    """Test images of the sets on which `choose` was checked.

    Args:
        pattern (str): Which sets, one draw each.

    Returns:
        Dict[str, Optional[Estimate]]: By method.
    """
    sets = [
        {
            row['method']: row['test']
            for row in json.loads(p.read_text())['rows']
        }
        for p in sorted((RESULTS / 'choose').glob(pattern))
    ]
    found: Dict[str, Optional[Estimate]] = {}
    for name, (_, method) in {**TRAINED, **AFTERWARDS}.items():
        rows = [rows[method] for rows in sets if method in rows]
        if len(rows) == 1:
            value, low, high = (rows[0][k] for k in ('value', 'low', 'high'))
            found[name] = Estimate(value, low, high, 1, None)
        else:
            found[name] = gain_of([row['value'] for row in rows])
    return found


def under_noise(regime: str) -> Dict[str, Optional[Estimate]]:
    """Wrong train labels, paired by seed.

    Args:
        regime (str): Name of the experiment.

    Returns:
        Dict[str, Optional[Estimate]]: By method.
    """
    runs = read_runs(RESULTS / 'evidence')[regime, False]
    return {
        name: gain_of(paired(runs, Pair(setting, 'softmax')))
        for name, (setting, _) in TRAINED.items()
        if setting in runs
    }


def table() -> str:
    """All methods and experiments.

    Returns:
        str: Markdown.
    """
    columns = {
        LONG: long_training(),
        **{name: by_choose(pattern) for name, pattern in CHOSEN.items()},
        **{name: under_noise(regime) for name, regime in NOISE.items()},
    }
    body: List[List[str]] = []
    for name in (*TRAINED, *AFTERWARDS):
        cells = [found.get(name) for found in columns.values()]
        body.append([name, *map(cell, cells)])
    return markdown(['method', *columns], body)


def weights() -> str:
    """What the weights of eq. (1) add to a margin, as trained and corrected.

    Returns:
        str: Markdown.
    """
    body: List[List[str]] = []
    for setting, (name, margin) in WEIGHTED.items():
        more, less = after_training(setting), after_training(margin)
        seeds = sorted(more.keys() & less)
        gains = [
            gain_of(
                [
                    more[s][key]['overall'] - less[s][key]['overall']
                    for s in seeds
                ]
            )
            for key in ('as_trained', 'prior_corrected')
        ]
        body.append([name, str(len(seeds)), *map(cell, gains)])
    return markdown(
        ['loss', 'seeds', 'as trained', 'with a corrected prior'], body
    )


def left_out_images() -> str:
    """Accuracy by test set and by the images that the correction has seen.

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
