"""Differences between losses, paired by seed, with intervals and verdicts."""

from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Dict, List, NamedTuple, Sequence, Tuple

from mmghm.utils.errors import UserError

from .evidence import REGIMES, in_words, regime_of
from .intervals import LEVEL, TIED, Estimate, estimate, verdicts
from .render import (
    EMPTY,
    GROUPS,
    full_epochs,
    load_results,
    markdown,
    setting_of,
    title,
)

# (regime, whether on held-out train images)
Column = Tuple[str, bool]
# By setting and seed, the accuracies of the last epoch; those of the classes
# under 'class/0' (the one with the most train images), 'class/1' and so on, those
# of all classes after training under 'prior_corrected' and 'nearest_mean'.
Runs = Dict[str, Dict[int, Dict[str, float]]]


class Pair(NamedTuple):
    """One comparison of a table.

    Attributes:
        more (str): A setting.
        less (str): The one that is taken off.
        key (str): Which accuracy of the first.
        less_key (str): Which one of the second, if not the same.
    """

    more: str
    less: str
    key: str = 'overall'
    less_key: str = ''


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
            **{
                f'{key}{group}': value
                for key in ('prior_corrected', 'nearest_mean')
                for group, value in _after(result, key).items()
            },
        )
    order = {
        (name, part): (not part, place)
        for place, name in enumerate(REGIMES)
        for part in (True, False)
    }
    return {key: columns[key] for key in sorted(columns, key=order.__getitem__)}


def _after(result: dict, key: str) -> Dict[str, float]:
    """Accuracies after training: of all classes under '', of groups '/quartile/many'."""
    found = result.get('after_training', {}).get(key, {})
    return {
        '' if group == 'overall' else f'/quartile/{group}': found[group]
        for group in ('overall', *GROUPS)
        if group in found
    }


def paired(runs: Runs, pair: Pair) -> List[float]:
    """Subtract accuracies, seed by seed.

    Args:
        runs (Runs): The runs of one regime.
        pair (Pair): What to compare.

    Returns:
        List[float]: In points, for the seeds that both have.
    """
    more, less = runs.get(pair.more, {}), runs.get(pair.less, {})
    other = pair.less_key or pair.key
    return [
        more[seed][pair.key] - less[seed][other]
        for seed in sorted(more.keys() & less.keys())
        if pair.key in more[seed] and other in less[seed]
    ]


AS = {
    'overall': 'as trained',
    'prior_corrected': 'prior-corrected',
    'nearest_mean': 'nearest class mean',
    'tau_of_tenth': 'corrected by the tau that nine tenths and their tenth gave',
}
LEGEND = (
    "Brackets are Student's 95 % interval of the mean. *gain*, *loss*: established, "
    "the interval excludes 0 after Holm's correction for the {number} comparisons of "
    'the table. *tied*: statistically tied, the interval holds 0, which does not mean '
    'equal: its width says what is possible. *open*: it excludes 0 by itself, and not '
    'after the correction.'
)


def verdict_words(table: Sequence[Estimate]) -> List[str]:
    """Say in a word what each difference of a table shows.

    Args:
        table (Sequence[Estimate]): All differences of the table.

    Returns:
        List[str]: See :data:`LEGEND`; empty for a single pair.
    """
    return [
        'open' if word == TIED and excludes_0(one) else word
        for one, word in zip(table, verdicts(table))
    ]


def excludes_0(one: Estimate) -> bool:
    """Whether an interval by itself excludes 0.

    Args:
        one (Estimate): The estimate.

    Returns:
        bool: False without an interval.
    """
    return one.low is not None and one.p is not None and one.p < LEVEL


def legend(table: Sequence[Estimate]) -> str:
    """Explain the words of a table.

    Args:
        table (Sequence[Estimate]): All its differences.

    Returns:
        str: A paragraph.
    """
    number = sum(one.p is not None for one in table)
    return LEGEND.format(number=number)


def pairs_table(runs: Runs, pairs: Sequence[Pair]) -> str:
    """Compare settings of one regime, a line each.

    Args:
        runs (Runs): The runs.
        pairs (Sequence[Pair]): What to compare; what has fewer than two pairs of
            seeds is left out.

    Returns:
        str: Markdown.
    """
    found = [(pair, paired(runs, pair)) for pair in pairs]
    found = [(pair, values) for pair, values in found if len(values) > 1]
    table = [estimate(values) for _, values in found]
    body = [
        [
            f'{in_words(pair.more)}, {AS[pair.key]}',
            f'{in_words(pair.less)}, {AS[pair.less_key or pair.key]}',
            ', '.join(f'{value:+.2f}' for value in values),
            one.text('+.2f'),
            word,
        ]
        for (pair, values), one, word in zip(found, table, verdict_words(table))
    ]
    header = ['what', 'minus', 'each seed', 'mean [95 %]', 'verdict']
    return f'{markdown(header, body)}\n{legend(table)}\n'


def grid_table(
    cells: Dict[Tuple[str, str], List[float]],
    corner: str,
    averaged: bool = False,
) -> str:
    """Write differences as a grid.

    Args:
        cells (Dict[Tuple[str, str], List[float]]): Differences paired by seed, by
            the names of line and column; fewer than two are left out.
        corner (str): What the lines are.
        averaged (bool): Whether a last line has the mean over the lines, each of
            which counts as one value.

    Returns:
        str: Markdown.
    """
    found = {
        place: estimate(values)
        for place, values in cells.items()
        if len(values) > 1
    }
    table = list(found.values())
    words = dict(zip(found, verdict_words(table)))
    names = list(dict.fromkeys(name for _, name in found))
    body = []
    for line in dict.fromkeys(line for line, _ in found):
        row = [line]
        for name in names:
            one = found.get((line, name))
            row.append(
                f'{one.text("+.2f")} ({one.number}, {words[line, name]})'
                if one
                else EMPTY
            )
        body.append(row)
    if averaged:
        means = [
            [one.mean for (_, name), one in found.items() if name == wanted]
            for wanted in names
        ]
        body.append(['mean of the lines', *(f'{mean(m):+.2f}' for m in means)])
    told = f'{legend(table)} The number is that of the pairs of seeds.'
    return f'{markdown([corner, *names], body)}\n{told}\n'


def describe_regime(regime: str) -> str:
    """Say in a line what an experiment of the study is.

    Args:
        regime (str): Its name.

    Returns:
        str: A sentence.
    """
    where = REGIMES[regime]
    epochs = where.epochs or full_epochs(where.task)
    parts = [
        title(where.task, None),
        f'largest class {where.head:,} images',
        f'imbalance factor {where.imbalance_factor}',
        f'{epochs} epochs',
    ]
    if where.ascending:
        parts.append('the last class the largest')
    if where.label_noise:
        parts.append(f'{100 * where.label_noise:g} % of the train labels wrong')
    if where.note:
        parts.append(where.note)
    return ', '.join(parts) + '.'
