"""Tables of a folder of results, beside the published ones."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmghm.engine.configs import compose, method_names

from .evidence import (
    METHOD_OF,
    REGIMES,
    SETTINGS,
    in_words,
    name_of,
    regime_of,
)
from .intervals import estimate
from .plan import Experiment
from .result_version import VERSION, reasons_stale

PUBLISHED = json.loads((Path(__file__).parent / 'published.json').read_text())
EMPTY = '–'
GROUPS = ('many', 'medium', 'few', 'rare')


def load_results(folder: Path) -> List[dict]:
    """Read the results in a folder, not in folders below it.

    Args:
        folder (Path): Folder of JSON files.

    Returns:
        List[dict]: Results by file name, which is their ``file``. What
        ``after_training.py`` measured of a run is its ``after_training``.
    """
    results = []
    for path in sorted(folder.glob('*.json')):
        result = json.loads(path.read_text())
        result['file'] = path.name
        after = folder / 'after_training' / path.name
        if after.exists():
            result['after_training'] = json.loads(after.read_text())
        results.append(result)
    return results


def stale_reasons(result: dict) -> List[str]:
    """Why today's code would give another figure.

    Args:
        result (dict): A result.

    Returns:
        List[str]: Empty for a current one.
    """
    cell = result['cell']
    return reasons_stale(cell['method'], cell['task'], version_made(result))


def version_made(result: dict) -> int:
    """The result version that a result was made with.

    Args:
        result (dict): A result.

    Returns:
        int: Results of version 1 do not name it.
    """
    return result.get('mathematics', 1)


def setting_of(result: dict) -> str:
    """Name what was run, see :func:`~.evidence.name_of`.

    Args:
        result (dict): A result.

    Returns:
        str: A setting, or a method.
    """
    return name_of(result['cell'], version_made(result))


def covers(result: dict, experiment: Experiment) -> bool:
    """Whether an older result, under whatever name, is that of a run.

    Args:
        result (dict): A result.
        experiment (Experiment): The run.

    Returns:
        bool: True if it was made with an earlier result version and a run would
        give the same today. Results of this version are found by their file
        names.
    """
    made = result['cell']
    fields = ('task', 'imbalance_factor', 'seed', 'epochs', 'amp')
    return (
        version_made(result) < VERSION
        and not stale_reasons(result)
        and setting_of(result) == (experiment.setting or experiment.method)
        and regime_of(made) == experiment.regime
        and bool(made.get('validation')) == experiment.validation
        and all(made[field] == getattr(experiment, field) for field in fields)
    )


def schedule(result: dict) -> Tuple:
    """What the results of a column share beside the data.

    Args:
        result (dict): A result.

    Returns:
        Tuple: (task, imbalance factor, epochs, precision, regime, whether on
        held-out train images, whether stale).
    """
    cell = result['cell']
    return (
        cell['task'],
        cell['imbalance_factor'],
        result['epochs'],
        'bfloat16' if cell['amp'] else 'float32',
        regime_of(cell),
        bool(cell.get('validation')),
        bool(stale_reasons(result)),
    )


def same_data(one: dict, other: dict) -> bool:
    """Whether two results of one schedule have comparable train sets.

    Args:
        one (dict): A result.
        other (dict): Another.

    Returns:
        bool: Whether these are equal, or drawn by two seeds of the study, in
        which each seed draws another set.
    """
    drawn = one['cell'].get('regime') is not None
    if drawn and one['cell']['seed'] != other['cell']['seed']:
        return True
    return one['identity']['data_sha256'] == other['identity']['data_sha256']


def comparable(results: List[dict]) -> List[List[dict]]:
    """Group results that may stand in one column.

    Args:
        results (List[dict]): Results.

    Returns:
        List[List[dict]]: Columns by schedule and data, so that none mixes them, nor
        what today's code would not give with what it would.
    """
    columns: Dict[Tuple, List[List[dict]]] = defaultdict(list)
    for result in results:
        parts = columns[schedule(result)]
        for part in parts:
            if all(same_data(result, other) for other in part):
                part.append(result)
                break
        else:
            parts.append([result])
    ordered = sorted(columns.items(), key=lambda kv: str(kv[0]))
    return [part for _, parts in ordered for part in parts]


def row_name(result: dict) -> str:
    """Name what was run, for a table.

    Args:
        result (dict): A result.

    Returns:
        str: A method of today, if it is one; otherwise words.
    """
    name = setting_of(result)
    if name in METHOD_OF:
        return METHOD_OF[name]
    setting = SETTINGS.get(name)
    return name if setting and setting.method == name else in_words(name)


def published_task(task: str) -> str:
    """Name the task whose published figures a task is held against.

    Args:
        task (str): Name of the task.

    Returns:
        str: The same, or the one that loads image by image in place of batches.
    """
    return task.removesuffix('_decoded')


def published(
    method: str, task: str, factor: Optional[int]
) -> Dict[str, float]:
    """Look up the published overall accuracies of a cell.

    Args:
        method (str): Name of the loss.
        task (str): Name of the task.
        factor (Optional[int]): Imbalance factor.

    Returns:
        Dict[str, float]: By source.
    """
    return {
        row['source']: row['overall']
        for row in PUBLISHED
        if (row['method'], row['task'], row['imbalance_factor'])
        == (method, task, factor)
    }


class Row(NamedTuple):
    """The runs of one method in a column.

    Attributes:
        name (str): The method, or words.
        config (str): What trains it.
        runs (Dict[int, Dict[str, float]]): By seed, the last epoch's accuracies.
        after (Dict[int, Dict[str, Any]]): By seed, what was measured after
            training.
        paper (Optional[float]): What the paper prints for it.
        others (str): What other publications print.
        files (str): Pattern of its files' names.
    """

    name: str
    config: str
    runs: Dict[int, Dict[str, float]]
    after: Dict[int, Dict[str, Any]]
    paper: Optional[float]
    others: str
    files: str

    def values(self, what: str) -> Dict[int, float]:
        """Accuracy of all classes by seed.

        Args:
            what (str): ``'as_trained'``, or a key of what was measured after
                training.

        Returns:
            Dict[int, float]: In percent; empty if it was not measured.
        """
        if what == 'as_trained':
            return {seed: run['overall'] for seed, run in self.runs.items()}
        return {
            seed: found[what]['overall'] for seed, found in self.after.items()
        }


def table_rows(
    results: List[dict], task: str, factor: Optional[int]
) -> List[Row]:
    """Gather the runs of each method.

    Args:
        results (List[dict]): The comparable results of one column.
        task (str): Its task.
        factor (Optional[int]): Its imbalance factor.

    Returns:
        List[Row]: By falling mean accuracy.
    """
    by_method: Dict[str, List[dict]] = defaultdict(list)
    for result in results:
        by_method[row_name(result)].append(result)
    rows = []
    for method, part in by_method.items():
        printed = published(method, published_task(task), factor)
        files = {result.get('file', '').partition('__s')[0] for result in part}
        rows.append(
            Row(
                in_words(method),
                config_name(part[0]),
                {r['cell']['seed']: _last_epoch(r) for r in part},
                {
                    r['cell']['seed']: r['after_training']
                    for r in part
                    if 'after_training' in r
                },
                next((v for k, v in printed.items() if 'GHM-CWAP' in k), None),
                ', '.join(
                    f'{v:.2f} ({k})'
                    for k, v in printed.items()
                    if 'GHM-CWAP' not in k
                ),
                ', '.join(f'`{name}__s*`' for name in sorted(files)),
            )
        )
    rows.sort(key=lambda row: -mean(row.values('as_trained').values()))
    return rows


def _last_epoch(result: dict) -> Dict[str, float]:
    """Accuracies, and the calibration error, which older results lack."""
    error = result.get('calibration_error')
    known = {} if error is None else dict(calibration_error=error)
    return {**result['last_epoch'], **known}


def config_name(result: dict) -> str:
    """Say what trains the method of a result today.

    Args:
        result (dict): A result.

    Returns:
        str: The config's name, the study's own setting, or that of version 0.1
        or 0.2 which no config has any more.
    """
    cell, setting = result['cell'], setting_of(result)
    method = METHOD_OF.get(setting, setting)
    if method in method_names():
        factor = cell['imbalance_factor']
        end = f'_if{factor}' if factor else ''
        return f'`{method}/{published_task(cell["task"])}{end}`'
    if setting in SETTINGS:
        return f'setting `{setting}` of the study'
    return f'until 0.2: `{cell.get("setting") or cell["method"]}`'


REFERENCE = 'softmax'
AFTER = {
    'prior_corrected': 'prior-corrected',
    'nearest_mean': 'nearest class mean',
}


def seeds_table(rows: List[Row]) -> str:
    """Write the methods with more than one seed.

    Args:
        rows (List[Row]): The rows of a column.

    Returns:
        str: A Markdown table; empty without such a method.
    """
    header = ['method', 'seeds', 'all classes', *AFTER.values()]
    header += ['paper', 'other published', *GROUPS, 'worst class']
    header += ['calibration error', 'config', 'files']
    body = []
    for row in rows:
        if len(row.runs) < 2:
            continue
        runs = row.runs.values()
        body.append(
            [
                row.name,
                str(len(runs)),
                *(_estimated(row.values(k)) for k in ('as_trained', *AFTER)),
                EMPTY if row.paper is None else f'{row.paper:.2f}',
                row.others or EMPTY,
                *(_mean(runs, f'quartile/{group}') for group in GROUPS),
                _mean(runs, 'worst_class'),
                _mean(runs, 'calibration_error'),
                row.config,
                row.files,
            ]
        )
    return markdown(header, body)


def _estimated(values: Dict[int, float]) -> str:
    return estimate(list(values.values())).text() if values else EMPTY


def _mean(runs: Any, key: str) -> str:
    values = [run[key] for run in runs if key in run]
    return f'{mean(values):.1f}' if values else EMPTY


def one_seed_table(rows: List[Row]) -> str:
    """Write the methods with one seed, as differences on that seed.

    Args:
        rows (List[Row]): The rows of a column.

    Returns:
        str: A Markdown table with a sentence that names the reference; empty
        without such a method.
    """
    alone = [row for row in rows if len(row.runs) == 1]
    if not alone:
        return ''
    seeds = {seed for row in alone for seed in row.runs}
    name = in_words(REFERENCE)
    reference = next(
        (r for r in rows if r.name == name and seeds <= r.runs.keys()), rows[0]
    )
    keys = ['as_trained', *(key for key in AFTER if reference.values(key))]
    header = ['method', 'seed', 'all classes']
    header += [AFTER[key] for key in keys[1:]]
    header += [f'paper, minus its {reference.name}', *GROUPS, 'config', 'files']
    body = []
    for row in alone:
        (seed,) = row.runs
        if row is reference or seed not in reference.runs:
            differences = [f'{row.values("as_trained")[seed]:.2f}']
            differences += [EMPTY] * (len(keys) - 1)
            groups = [EMPTY] * len(GROUPS)
        else:
            differences = [
                f'{row.values(k)[seed] - reference.values(k)[seed]:+.2f}'
                if seed in row.values(k) and seed in reference.values(k)
                else EMPTY
                for k in keys
            ]
            groups = [
                f'{row.runs[seed][key] - reference.runs[seed][key]:+.1f}'
                if key in row.runs[seed] and key in reference.runs[seed]
                else EMPTY
                for key in (f'quartile/{group}' for group in GROUPS)
            ]
        paper = EMPTY
        if row.paper is not None:
            paper = f'{row.paper:.2f}'
            if reference.paper is not None and row is not reference:
                paper += f' ({row.paper - reference.paper:+.2f})'
        body.append(
            [row.name, str(seed), *differences, paper, *groups]
            + [row.config, row.files]
        )
    of_seeds = '; '.join(
        f'seed {seed}: '
        + ', '.join(
            f'{reference.values(k)[seed]:.2f} {_AS.get(k) or AFTER[k]}'
            for k in keys
            if seed in reference.values(k)
        )
        for seed in sorted(seeds & reference.runs.keys())
    )
    return (
        f'One seed each, as differences to {reference.name} on the same seed '
        f'({of_seeds}):\n\n{markdown(header, body)}'
    )


_AS = {'as_trained': 'as trained'}


def markdown(header: List[str], body: List[List[str]]) -> str:
    """Write a table, without the columns that say nothing.

    Args:
        header (List[str]): Names of the columns.
        body (List[List[str]]): Rows.

    Returns:
        str: Markdown; empty without rows.
    """
    if not body:
        return ''
    kept = [
        i
        for i in range(len(header))
        if any(row[i] not in (EMPTY, '') for row in body)
    ]
    lines = [header, ['---'] * len(header), *body]
    return ''.join(
        f'| {" | ".join(line[i] for i in kept)} |\n' for line in lines
    )


def is_full(task: str, epochs: int) -> bool:
    """Whether a run had the task's whole schedule.

    Args:
        task (str): Name of the task.
        epochs (int): Epochs of the run.

    Returns:
        bool: Whether its figures can stand beside published ones.
    """
    return epochs == full_epochs(task)


@cache
def full_epochs(task: str) -> int:
    """Epochs of a task's own schedule.

    Args:
        task (str): Name of the task.

    Returns:
        int: Epochs.
    """
    return compose('softmax', task).train_cfg.max_epochs


def missing_experiments(columns: List[List[dict]]) -> List[str]:
    """Name the cells of the paper's tables that no full run covers.

    Args:
        columns (List[List[dict]]): From :func:`comparable`.

    Returns:
        List[str]: For each column of the tables, its name and its methods.
    """
    seen = set()
    for part in columns:
        task, factor, epochs, *_, validation, stale = schedule(part[0])
        if is_full(task, epochs) and not stale and not validation:
            seen |= {(row_name(r), published_task(task), factor) for r in part}
    missing: Dict[str, List[str]] = defaultdict(list)
    for row in PUBLISHED:
        method, task, factor = key = (
            row['method'],
            row['task'],
            row['imbalance_factor'],
        )
        if 'GHM-CWAP' in row['source'] and key not in seen:
            name = task + (f'_if{factor}' if factor else '')
            if method not in missing[name]:
                missing[name].append(method)
    return [f'{name}: {", ".join(part)}' for name, part in missing.items()]


NOTE = (
    'Top-1 accuracy in percent on the test images, last epoch: the mean over seeds '
    "and Student's 95 % interval. Where a table names several data, each seed drew a "
    'long-tailed set of its own. Groups: quarters of the classes by rank of train '
    'count. "Prior-corrected": the same models, corrected for equal class proportions '
    "after training by the rule until version 0.2: the prior of the loss's formula, "
    'unless 2,700 left-out train images reject it, as they did for every run but '
    'softmax, seed 2. "Nearest '
    'class mean": the same features with another classifier. Calibration error: '
    'expected gap between score and accuracy as trained, 15 bins. "Paper": what the '
    'GHM-CWAP paper prints for that method.'
)
NOT_RUN = (
    "Experiments of the paper's tables without a run at the full schedule:"
)
STALE = 'Stale, not to be compared with other tables. Changed since:'
SHORT = (
    'Shorter than the full schedule: not comparable with published figures, '
    'only row with row.'
)
_DATA = {
    'cifar10': 'CIFAR-10',
    'cifar100': 'CIFAR-100',
    'tinyimagenet': 'TinyImageNet',
    'imagenet': 'ImageNet',
    'inat2017': 'iNaturalist 2017',
    'digits': 'digits',
}


def title(task: str, factor: Optional[int]) -> str:
    """Name an experiment for a reader.

    Args:
        task (str): Name of the task.
        factor (Optional[int]): Imbalance factor.

    Returns:
        str: Data, network and imbalance factor.
    """
    network, _, data = published_task(task).removesuffix('_lt').partition('_')
    words = f'{_DATA.get(data, data)}, {network.replace("resnet", "ResNet-")}'
    return words + (f', imbalance factor {factor}' if factor else '')


def render_columns(results: List[dict], level: str = '##') -> str:
    """Write the tables of all columns, each with what was run.

    Args:
        results (List[dict]): All results.
        level (str): Marks of a heading; empty for none.

    Returns:
        str: Markdown.
    """
    parts = []
    for part in comparable(results):
        task, factor, epochs, precision, regime, validation, stale = schedule(
            part[0]
        )
        rows = table_rows(part, task, factor)
        data = dict.fromkeys(r['identity']['data_sha256'][:8] for r in part)
        # A resumed run has timed its last part alone.
        hours = (
            sum(
                r['wall_seconds'] / r['epochs_timed'] * r['epochs']
                for r in part
                if r['epochs_timed']
            )
            / 3600
        )
        if level:
            where = f', experiment `{regime}`' if regime else ''
            parts.append(f'{level} {title(task, factor)}{where}')
        told = (
            f'{epochs} epochs, {precision}, '
            f'{"held-out train images" if validation else "test images"}; '
            f'{len(part)} runs, about {hours:.3g} h in all; '
            f'{", ".join(sorted({r["hardware"] for r in part}))}; '
            f'torch {", ".join(sorted({r["versions"]["torch"] for r in part}))}'
            f'; data {", ".join(data)}.'
        )
        # A regime of the study has a schedule of its own.
        own = regime and REGIMES[regime].epochs
        if not own and not is_full(task, epochs):
            told += f' {SHORT}'
        if stale:
            why = sorted({reason for r in part for reason in stale_reasons(r)})
            told += f' {STALE} {"; ".join(why)}.'
        parts.append(told)
        parts += filter(None, (seeds_table(rows), one_seed_table(rows)))
    return '\n\n'.join(part.rstrip('\n') for part in parts) + '\n'


def render_missing(results: List[dict]) -> str:
    """List the experiments of the paper's tables that were not run.

    Args:
        results (List[dict]): All results.

    Returns:
        str: Markdown.
    """
    missing = missing_experiments(comparable(results))
    return ''.join(f'- {name}\n' for name in missing or ['none'])


def render_markdown(results: List[dict]) -> str:
    """Render the results of a folder as a page.

    Args:
        results (List[dict]): All results.

    Returns:
        str: The page.
    """
    return (
        f'# Measured results\n\n{NOTE}\n\n{render_columns(results)}\n'
        f'## Not run\n\n{NOT_RUN}\n\n{render_missing(results)}'
    )
