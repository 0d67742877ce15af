"""Runs of one setting by several seeds."""

import json
from statistics import fmean, stdev
from typing import Dict, List, Sequence

from rich.table import Table

from mmghm.report.run import Run

# Settings that do not change what is trained.
_IGNORED = ('work_dir', 'experiment_name', 'randomness', 'resume')


def same_settings(runs: Sequence[Run]) -> Dict[str, List[Run]]:
    """Put runs together that differ in the seed alone.

    They go by the name of the first one.
    """
    rows: Dict[str, List[Run]] = {}
    for run in runs:
        settings = run.config.to_dict()
        # A resumed run names its own checkpoint there; without a resume it
        # is what the training began with.
        if settings.get('resume'):
            settings['load_from'] = None
        for name in _IGNORED:
            settings.pop(name, None)
        for name in ('train_dataloader', 'val_dataloader'):
            dataset = (settings.get(name) or {}).get('dataset') or {}
            if dataset.get('type') == 'CachedFeatures':
                # A temporary file.
                dataset.pop('path', None)
        text = json.dumps(settings, sort_keys=True, default=str)
        rows.setdefault(text, []).append(run)
    return {members[0].name: members for members in rows.values()}


def last_accuracy(run: Run, rule: str) -> Dict[str, float]:
    """Percent by group, of a run's last validation; empty if it logged none.

    ``rule`` is that of the groups.
    """
    found = {}
    for key, (_, values) in run.validation.items():
        parts = key.split('/')
        if parts[-1] == 'top1' and (rule in parts or parts[-2] == 'overall'):
            found[parts[-2]] = values[-1]
    return found


def accuracy_table(runs: Sequence[Run], rule: str) -> Table:
    """Show the last accuracy by group, with the spread of the seeds.

    A row per setting: number of runs, and percent by group as mean and standard
    deviation. ``rule`` is that of the groups, such as ``'quartile'``.
    """
    rows = {}
    for name, members in same_settings(runs).items():
        found = [last_accuracy(run, rule) for run in members]
        rows[name] = [f for f in found if f]
    # By the first appearance.
    groups = list(
        dict.fromkeys(g for row in rows.values() for f in row for g in f)
    )
    table = Table(title=f'Accuracy (%), groups by {rule!r}')
    table.add_column('run', overflow='fold')
    table.add_column('seeds', justify='right')
    for group in groups:
        table.add_column(group, justify='right')
    for name, row in rows.items():
        shown = []
        for group in groups:
            values = [figures[group] for figures in row if group in figures]
            spread = f' ± {stdev(values):.2f}' if len(values) > 1 else ''
            shown.append(f'{fmean(values):.2f}{spread}' if values else '–')
        table.add_row(name, str(len(row)), *shown)
    return table
