"""Tables of measured results beside the published ones."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, List, Optional, Tuple

from jinja2 import Template

from mmghm.engine.configs import compose

from .evidence import METHOD_OF, SETTINGS, in_words, name_of, regime_of
from .plan import Experiment
from .result_version import VERSION, reasons_stale

PUBLISHED = json.loads((Path(__file__).parent / 'published.json').read_text())
_TEMPLATE = Path(__file__).parent / 'results.html.j2'
EMPTY = '–'
GROUPS = ('many', 'medium', 'few', 'rare')


def load_results(folder: Path) -> List[dict]:
    """Read the results in a folder, not in folders below it.

    Args:
        folder (Path): Folder of JSON files.

    Returns:
        List[dict]: Results by file name.
    """
    return [json.loads(p.read_text()) for p in sorted(folder.glob('*.json'))]


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
        Tuple: (task, imbalance factor, epochs, precision, regime, whether
        stale).
    """
    cell = result['cell']
    return (
        cell['task'],
        cell['imbalance_factor'],
        result['epochs'],
        'bfloat16' if cell['amp'] else 'float32',
        regime_of(cell),
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


def spread(values: List[float], form: str = '.2f') -> str:
    """Write mean and sample standard deviation.

    Args:
        values (List[float]): One or more values.
        form (str): How the mean is written; ``'+.2f'`` with its sign.

    Returns:
        str: Such as ``71.23 ± 0.45``; a single value alone.
    """
    text = f'{mean(values):{form}}'
    return f'{text} ± {stdev(values):.2f}' if len(values) > 1 else text


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


def table_rows(
    results: List[dict], task: str, factor: Optional[int]
) -> List[Dict[str, Any]]:
    """One row per method: measured, published, difference and rank.

    Args:
        results (List[dict]): The comparable results of one column.
        task (str): Its task.
        factor (Optional[int]): Its imbalance factor.

    Returns:
        List[Dict[str, Any]]: By falling mean accuracy; published methods that
        were not run come last.
    """
    by_method: Dict[str, List[dict]] = defaultdict(list)
    for result in results:
        by_method[row_name(result)].append(result)
    rows = []
    for method, part in by_method.items():
        runs = [result['last_epoch'] for result in part]
        overall = [run['overall'] for run in runs]
        # Older results lack it.
        errors = [
            r['calibration_error']
            for r in part
            if r.get('calibration_error') is not None
        ]
        paper = published(method, published_task(task), factor)
        own = next((v for k, v in paper.items() if 'GHM-CWAP' in k), None)
        rows.append(
            dict(
                method=method,
                seeds=len(runs),
                mean=mean(overall),
                overall=spread(overall),
                groups=[
                    spread([run[f'quartile/{g}'] for run in runs])
                    if f'quartile/{g}' in runs[0]
                    else EMPTY
                    for g in GROUPS
                ],
                worst=spread([run['worst_class'] for run in runs]),
                calibration=spread(errors) if errors else EMPTY,
                paper=f'{own:.2f}' if own is not None else EMPTY,
                difference=f'{mean(overall) - own:+.2f}'
                if own is not None
                else EMPTY,
                others=', '.join(
                    f'{v:.2f} ({k})'
                    for k, v in paper.items()
                    if 'GHM-CWAP' not in k
                )
                or EMPTY,
            )
        )
    rows.sort(key=lambda row: -row['mean'])
    for rank, row in enumerate(rows, start=1):
        row['rank'] = rank
    return rows


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
        task, factor, epochs, *_, stale = schedule(part[0])
        if is_full(task, epochs) and not stale:
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


def page_data(results: List[dict]) -> Dict[str, Any]:
    """Gather what both pages show.

    Args:
        results (List[dict]): All results.

    Returns:
        Dict[str, Any]: ``tables`` and ``missing``.
    """
    columns = comparable(results)
    tables = []
    for part in columns:
        task, factor, epochs, precision, _, stale = schedule(part[0])
        data = dict.fromkeys(r['identity']['data_sha256'][:8] for r in part)
        hours = sum(r['wall_seconds'] for r in part) / 3600
        rows = table_rows(part, task, factor)
        why = sorted({reason for r in part for reason in stale_reasons(r)})
        tables.append(
            dict(
                headers=fill_cells(rows),
                rows=rows,
                title=task + (f', imbalance factor {factor}' if factor else ''),
                settings=f'{epochs} epochs, {precision}, last epoch; '
                f'{len(part)} runs, {hours:.2f} h in all; '
                f'{", ".join(sorted({r["hardware"] for r in part}))}; '
                f'torch {", ".join(sorted({r["versions"]["torch"] for r in part}))}'
                f'; data {", ".join(data)}',
                full=is_full(task, epochs),
                stale=f'{STALE} {"; ".join(why)}.' if stale else '',
            )
        )
    return dict(tables=tables, missing=missing_experiments(columns))


HEADERS = (
    'rank', 'method', 'seeds', 'overall', 'paper', 'difference',
    'other published', 'many', 'medium', 'few', 'rare', 'worst class',
    'calibration error',
)  # fmt: skip


def fill_cells(rows: List[Dict[str, Any]]) -> List[str]:
    """Write rows as text, without the columns that say nothing.

    Args:
        rows (List[Dict[str, Any]]): From :func:`table_rows`; each gets
            ``cells``, a text per header.

    Returns:
        List[str]: The headers.
    """
    texts = [
        [
            str(row['rank']), row['method'], str(row['seeds']), row['overall'],
            row['paper'], row['difference'], row['others'], *row['groups'],
            row['worst'], row['calibration'],
        ]
        for row in rows
    ]  # fmt: skip
    shown = [
        column
        for column in range(len(HEADERS))
        if any(text[column] != EMPTY for text in texts)
    ]
    for row, text in zip(rows, texts):
        row['cells'] = [text[column] for column in shown]
    return [HEADERS[column] for column in shown]


NOTE = (
    'Top-1 accuracy in percent on the test set, last epoch, mean ± sample '
    'standard deviation over seeds. Where a table names several data, each seed '
    'drew a long-tailed set of its own. Groups: quarters of the classes by rank '
    "of train count (the paper's rule). Calibration error: expected gap in "
    'percent between score and accuracy of the model as trained (15 bins). '
    '"paper" is the figure that the '
    'GHM-CWAP paper prints for the full schedule, "difference" measured minus '
    'paper. A difference smaller than the spread is noise, whatever the rank. '
    '"ghm_cwap" is the paper\'s method; what departs from print is the scale of '
    'the weights W and when they begin. "ghm_cwap_balanced" is our variant. Rows '
    'in words with "W from 80 %" were made with versions 0.1 and 0.2: W acts '
    'after 80 % of the epochs, by the histogram of the running epoch ("running '
    'histogram") in place of the finished one. No figure of the paper belongs '
    'to them.'
)
NOT_RUN = "Cells of the paper's tables without a run at the full schedule:"
STALE = 'Stale, not to be compared with other tables. Changed since:'
SHORT = (
    'Shorter than the full schedule: not comparable with published figures, '
    'only row with row.'
)


def render_markdown(results: List[dict]) -> str:
    """Render the results as Markdown.

    Args:
        results (List[dict]): All results.

    Returns:
        str: The page.
    """
    data = page_data(results)
    lines = ['# Measured results', '', NOTE, '']
    for table in data['tables']:
        lines += [f'## {table["title"]}', '', table['settings'] + '.']
        if not table['full']:
            lines.append(SHORT)
        if table['stale']:
            lines.append(table['stale'])
        lines += ['', '| ' + ' | '.join(table['headers']) + ' |']
        lines.append('|' + '---|' * len(table['headers']))
        for row in table['rows']:
            lines.append('| ' + ' | '.join(row['cells']) + ' |')
        lines.append('')
    lines += ['## Not run', '']
    lines += [NOT_RUN, '']
    lines += [f'- {name}' for name in data['missing']] or ['- none']
    return '\n'.join(lines) + '\n'


def render_html(results: List[dict]) -> str:
    """Render the results as one page without outside resources.

    Args:
        results (List[dict]): All results.

    Returns:
        str: The page.
    """
    template = Template(_TEMPLATE.read_text(), autoescape=True)
    return template.render(
        **page_data(results),
        note=NOTE,
        short=SHORT,
        not_run=NOT_RUN,
    )
