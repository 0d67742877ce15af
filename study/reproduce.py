#!/usr/bin/env python
"""Fill the paper's tables.

Plans the runs of a table, does those that have no result yet, and renders all
results as Markdown. A killed run goes on where it was.

Examples:
    python study/reproduce.py table1 --scale quick --seeds 0 1 2
    python study/reproduce.py table1 --datasets cifar10 --imbalance 100 \
        --seeds 0 1 2
    python study/reproduce.py table3 --cluster slurm --slurm-partition gpu
    python study/reproduce.py evidence --regimes base digits \
        --settings ghm_cwap_margin ghm_cwap --seeds 0 1 2 --validation
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from statistics import mean
from typing import Dict, List

from rich.console import Console
from rich.table import Table

# `study` is no installed package.
ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)

from mmghm.cli.options import add_cluster, make_parser
from mmghm.engine.grid import Job, run_here, run_on_cluster
from mmghm.utils.errors import UserError, one_line_errors
from study.plan import (
    Experiment,
    experiment_config,
    plan_evidence,
    plan_table,
    prefix,
)
from study.render import covers, load_results, render_markdown
from study.run import run_experiment
from study.run_id import result_path, run_id


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        'table',
        choices=['table1', 'table2', 'table3', 'evidence'],
        help='table of the paper, or the study in docs/results.md',
    )
    parser.add_argument(
        '--scale',
        choices=['full', 'quick'],
        default='full',
        help='quick: the same methods on the embedded digits',
    )
    parser.add_argument('--datasets', nargs='+', help='some of the datasets')
    parser.add_argument(
        '--imbalance', nargs='+', type=int, help='imbalance factors'
    )
    parser.add_argument(
        '--methods', nargs='+', help="in place of the table's methods"
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--epochs', type=int, help='shorter runs, their schedules scaled'
    )
    parser.add_argument('--amp', action='store_true', help='bfloat16')
    parser.add_argument(
        '--decoded',
        action='store_true',
        help='small images by whole batches, see docs/performance.md',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        metavar='N',
        help='runs at a time on this machine; several may share a GPU',
    )
    parser.add_argument(
        '--regimes', nargs='+', help='evidence: some of the regimes'
    )
    parser.add_argument(
        '--settings', nargs='+', help='evidence: some of the settings'
    )
    parser.add_argument(
        '--validation',
        action='store_true',
        help='evidence: evaluate on held-out train images, to choose by',
    )
    parser.add_argument(
        '--results',
        type=Path,
        help='folder of the results; default: study/results, or evidence in it',
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/reproduce')
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print the plan and stop'
    )
    parser.add_argument(
        '--render-only',
        action='store_true',
        help='render the results that there are and stop',
    )
    add_cluster(parser)
    return parser.parse_args()


# Epochs per second are unknown before the first result: say so.
UNKNOWN = 'unknown'


def plan(args: argparse.Namespace) -> List[Experiment]:
    if args.table == 'evidence':
        return plan_evidence(
            args.regimes, args.settings, args.seeds, args.validation
        )
    return plan_table(
        args.table,
        args.scale,
        args.datasets,
        args.imbalance,
        args.methods,
        args.seeds,
        args.epochs,
        args.amp,
        args.decoded,
    )


def job_of(experiment: Experiment, args: argparse.Namespace) -> Job:
    out = result_path(args.results, experiment, run_id(experiment))
    work_dir = args.work_dir / out.stem
    start = None
    shared = prefix(experiment)
    if shared:
        sibling, epochs = shared
        start = job_of(sibling, args).work_dir / f'epoch_{epochs}.pth'
    return Job(
        f'{experiment.name} seed {experiment.seed}',
        run_experiment,
        (experiment, out, work_dir, start),
        work_dir,
        out,
        experiment_config(experiment).train_cfg.max_epochs,
    )


def seconds_per_epoch(results: List[dict]) -> Dict[str, float]:
    spent: Dict[str, List[float]] = {}
    for result in results:
        if not result['epochs_timed']:
            continue
        rate = result['wall_seconds'] / result['epochs_timed']
        spent.setdefault(result['cell']['task'], []).append(rate)
    return {task: mean(rates) for task, rates in spent.items()}


def show_plan(
    jobs: List[Job], done: List[Job], results: List[dict], console: Console
) -> None:
    rates = seconds_per_epoch(results)
    table = Table('experiment', 'seed', 'epochs', 'state', 'estimate')
    total = 0.0
    for job in [*done, *jobs]:
        experiment = job.args[0]
        estimate = UNKNOWN
        if job in done:
            estimate = '–'
        elif experiment.task in rates:
            seconds = rates[experiment.task] * job.length
            total += seconds
            estimate = f'{seconds / 60:.1f} min'
        state = 'done' if job in done else 'to run'
        table.add_row(
            experiment.name,
            str(experiment.seed),
            str(job.length),
            state,
            estimate,
        )
    console.print(table)
    known = f', about {total / 60:.0f} min' if total else ''
    console.print(f'{len(jobs)} to run{known}, {len(done)} done.')


def render(folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = load_results(folder)
    (folder / 'results.md').write_text(render_markdown(results))
    console.print(
        f'Rendered {len(results)} results into {folder}/results.md. '
        'study/pages.py fills the pages of the documentation.'
    )


def main(args: argparse.Namespace) -> int:
    if args.jobs < 1:
        raise UserError(f'--jobs must be at least 1, got {args.jobs}')
    console = Console()
    study = args.table == 'evidence'
    args.results = args.results or Path(
        'study/results/evidence' if study else 'study/results'
    )
    if args.render_only:
        render(args.results, console)
        return 0
    try:
        jobs = [job_of(experiment, args) for experiment in plan(args)]
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f'{error}') from error
    results = load_results(args.results)
    done = [
        job
        for job in jobs
        if job.out.exists() or any(covers(r, job.args[0]) for r in results)
    ]
    todo = [job for job in jobs if job not in done]
    show_plan(todo, done, results, console)
    if args.dry_run:
        return 0
    failed = (
        run_on_cluster(
            todo,
            console,
            args.work_dir / 'submitit',
            args.cluster,
            args.slurm_partition,
            args.timeout_hours,
        )
        if args.cluster
        else run_here(todo, console, args.jobs)
    )
    render(args.results, console)
    console.print(f'{len(failed)} of {len(todo)} runs failed.')
    return 1 if failed else 0


if __name__ == '__main__':
    # Runs in processes of their own import `study` as well.
    paths = [ROOT, os.environ.get('PYTHONPATH')]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    # Terminated like interrupted: the run under way is stopped as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault('MPLBACKEND', 'agg')
    arguments = parse_args()
    with one_line_errors('reproduce.py', arguments.debug):
        sys.exit(main(arguments))
