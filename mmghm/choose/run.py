"""The work of ``mmghm choose``: plan, run, answer."""

import argparse
import json
import shlex
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmghm.choose.answer import (
    CLASSIFIER,
    REFERENCE,
    Answer,
    answer,
    describe,
    signed,
)
from mmghm.choose.page import columns, render
from mmghm.choose.plan import LOSSES, Plan, duration
from mmghm.choose.results import Results, doubts, gather
from mmghm.choose.settings import check_methods, data_digest, with_method
from mmghm.choose.trial import time_trial
from mmghm.engine.grid import (
    Job,
    forking,
    run_here,
    run_on_cluster,
    threads_each,
)
from mmghm.engine.recipes import run_length, tiny_last_batch
from mmghm.evaluation.comparison import METRICS
from mmghm.evaluation.groups import group_classes
from mmghm.features.cached import feature_config
from mmghm.features.frozen import is_frozen
from mmghm.features.training import FACTORS
from mmghm.utils.environment import hardware, package_versions
from mmghm.utils.errors import UserError
from mmghm.utils.processes import end_with_parent
from mmghm.utils.text import TextConsole
from mmghm.visualization.comparison import draw_gains, draw_trade_off

# The config of the recommendation, in --out.
CHOSEN = 'chosen.py'
_ON_FEATURES = (
    'The backbone is frozen: runs train on its features, computed once and '
    'without augmentation, each method with '
    f'{len(FACTORS)} learning rates.'
)


def run_jobs(
    jobs: List[Job], args: argparse.Namespace, console: Console
) -> List[Job]:
    """Run what has no result yet; return what failed."""
    todo = [job for job in jobs if not job.out.exists()]
    if args.cluster:
        return run_on_cluster(
            todo,
            console,
            args.out / 'submitit',
            args.cluster,
            args.slurm_partition,
            args.timeout_hours,
        )
    return run_here(todo, console, args.jobs)


def last_line_of(job: Job) -> str:
    """What a failed job ended with, and where the rest is."""
    log = job.work_dir / 'output.log'
    lines = log.read_text(errors='replace').split('\n') if log.exists() else []
    last = [line.strip() for line in lines if line.strip()][-1:]
    return f'{"".join(last)} (see {log})'


def timed(settings: Config, seconds: float, at_a_time: int) -> float:
    """Seconds of a trial, by some of its steps in a process of its own."""
    context = forking(time_trial.__module__)
    with ProcessPoolExecutor(1, context, end_with_parent) as pool:
        threads = threads_each(at_a_time)
        job = pool.submit(time_trial, settings.to_dict(), seconds, threads)
        return job.result()


def look_at(
    plan: Plan, metric: str, console: Console
) -> Tuple[np.ndarray, List[str], Plan]:
    """Count both parts: images and name of each class, and the plan for them."""
    train, holdout = plan.parts()
    counts = train.class_counts + holdout.class_counts
    names = train.metainfo.get('classes') or range(len(counts))
    console.print(
        f'{counts.sum():,} train images of {len(counts)} classes: '
        f'{len(train):,} to train on, {len(holdout):,} held out to evaluate on.',
        soft_wrap=True,
    )
    if not len(holdout):
        raise UserError(
            'no class has two train images, so that none can be held out'
        )
    group = metric.partition(':')[2]
    members = group_classes(counts, 'quartile')[1].get(group)
    if members is not None and not holdout.class_counts[members].any():
        raise UserError(
            f'--metric {metric} has no image to be measured on: none of these '
            f'{len(members)} classes has two train images; take another metric'
        )
    loader = plan.cfg.train_dataloader
    tiny = tiny_last_batch(len(train), loader.get('batch_size', len(train)))
    if tiny and not plan.frozen and not loader.get('drop_last'):
        loader.drop_last = True
        console.print(
            f'The last batch of an epoch would have {tiny} images, too few for '
            'batch normalisation: it is left out (drop_last=True).',
            soft_wrap=True,
        )
    plan = replace(plan, data=data_digest((train, holdout), plan.cfg))
    return counts, [str(name) for name in names], plan


def budgeted(
    plan: Plan, args: argparse.Namespace, console: Console
) -> Tuple[Plan, List[str]]:
    """Time some steps and cut the plan; return notes on both."""
    size = f'{len(plan.methods)} methods x {plan.seeds} seeds'
    if plan.frozen and not plan.features_job().out.exists():
        # --dry-run computes none.
        console.print(f'{size}. {_ON_FEATURES}', soft_wrap=True)
        return plan, []
    trials = plan.trials()
    done = sum(job.out.exists() for job in trials)
    if done == len(trials):
        console.print(f'{size} = {done} runs, all of them done.')
        return plan, []
    settings = plan.settings(REFERENCE, 0)
    with console.status('Timing some steps of a run'):
        if plan.frozen:
            settings = feature_config(settings, plan.features_job().out)
            seconds = timed(settings, 1, args.jobs) * len(FACTORS)
        else:
            seconds = timed(settings, 10, args.jobs)

    def cost(of: Plan) -> float:
        left = [job for job in of.trials() if not job.out.exists()]
        return len(left) * seconds / args.jobs

    notes = [_ON_FEATURES] if plan.frozen else []
    console.print(
        f'{size} = {len(trials)} runs, {done} of them done. A run takes about '
        f'{duration(seconds)} (some of its steps were timed), all that are '
        f'left {duration(cost(plan))} with {args.jobs} at a time; classifiers '
        'on features come after them.',
        soft_wrap=True,
    )
    left, cut = plan.within(args.budget, cost)
    if cut:
        notes.append(
            f'The budget of {duration(args.budget)} leaves {cut}: about '
            f'{duration(cost(left))}.'
        )
    for note in notes:
        console.print(note, soft_wrap=True)
    return left, notes


def commands_for(
    plan: Plan, method: str, results: Results, args: argparse.Namespace
) -> List[str]:
    """What trains a method on all images."""
    chosen = args.out / CHOSEN
    run = Path('work_dirs') / 'chosen'
    unit = 'epoch' if 'max_epochs' in plan.cfg.train_cfg else 'iter'
    last = run / f'{unit}_{run_length(plan.cfg)}.pth'
    commands = [['mmghm', 'train', str(chosen)]]
    posthoc = ['mmghm', 'posthoc', str(chosen), str(last)]
    if method.startswith(CLASSIFIER):
        loss = method[len(CLASSIFIER) :]
        commands.append([*posthoc, '--methods', '--losses', loss])
    elif method not in results.seconds:
        commands.append([*posthoc, '--methods', method])
        if method in results.taus:
            commands[-1] += ['--tau', f'{results.taus[method]:g}']
    if len(commands) > 1:
        commands[-1] += ['--save', str(run / 'chosen.pth')]
    return [shlex.join(command) for command in commands]


def show(found: Answer, console: Console) -> None:
    """Print the table and the recommendation."""
    table = Table('#')
    table.add_column('method', no_wrap=True)
    table.add_column('points over softmax', justify='right', no_wrap=True)
    for name in columns(found):
        table.add_column(name, justify='right')
    for number, row in enumerate(found.rows, 1):
        gain = '' if row.method == REFERENCE else signed(row.to_softmax)
        values = [row.figures[name].value for name in columns(found)]
        figures = ['–' if v != v else f'{v:.1f}' for v in values]
        style = 'bold' if row.method == found.method else None
        mark = ' =' if row.ties_with_best else ''
        table.add_row(
            str(number) + mark, row.method, gain, *figures, style=style
        )
    console.print(table)
    console.print(
        f'=: statistically tied with the best in {describe(found.metric)}.'
    )
    for warning in found.warnings:
        console.print(warning, soft_wrap=True)
    console.print(f'\n{found.sentence}', style='bold', soft_wrap=True)


def write(
    plan: Plan,
    found: Answer,
    results: Results,
    class_counts: np.ndarray,
    notes: List[str],
    args: argparse.Namespace,
) -> List[str]:
    """Write page, JSON and config; return the commands to go on with."""
    loss = found.method if found.method in plan.methods else REFERENCE
    chosen = with_method(plan.cfg, loss)
    if plan.frozen:
        chosen.train_on_features = dict(factors=[results.factors[loss]])
    chosen.dump(str(args.out / CHOSEN))
    commands = commands_for(plan, found.method, results, args)
    comparison = results.comparison
    rows = [(row.method, row.kind) for row in found.rows]
    pictures = {
        'Head against tail': draw_trade_off(
            comparison, rows, results.curves, found.method
        ),
        'Gains over softmax': draw_gains(
            [(r.method, r.kind, r.to_softmax.interval) for r in found.rows],
            describe(found.metric),
        ),
    }
    versions = package_versions()
    how = (
        f'{args.command_line}. '
        'Every method had the same recipe, the same images and the same '
        'seeds; validation and test images were not read. The best of many '
        'methods looks a little better than it is. Hardware: '
        f'{hardware()}.'
    )
    page = render(
        found,
        pictures,
        notes=notes,
        commands=commands,
        held_out=int(comparison.held_out.sum()),
        seeds=plan.seeds,
        how=how,
        versions=versions,
    )
    (args.out / 'choice.html').write_text(page, encoding='utf-8')
    content: Dict[str, Any] = dict(
        **found.to_json(),
        commands=commands,
        notes=notes,
        train_images=class_counts.tolist(),
        held_out=comparison.held_out.tolist(),
        seeds=plan.seeds,
        holdout=plan.holdout,
        config=args.config,
        cfg_options=args.cfg_options,
        taus=results.taus,
        seconds={k: round(v, 2) for k, v in results.seconds.items()},
        versions=versions,
        hardware=hardware(),
    )
    (args.out / 'choice.json').write_text(json.dumps(content, indent=1) + '\n')
    return commands


def choose(args: argparse.Namespace, cfg: Config) -> int:
    """Plan, run, and answer; return the exit status."""
    console = TextConsole()
    if not console.is_terminal:
        # A file has room for the whole table.
        console = TextConsole(width=132)
    if args.metric not in METRICS:
        raise UserError(
            f'--metric is one of {", ".join(METRICS)}, got {args.metric!r}'
        )
    methods = tuple(dict.fromkeys([REFERENCE, *args.methods]))
    check_methods(cfg, list(methods))
    frozen = is_frozen(cfg)
    if args.jobs is None:
        # A linear classifier keeps one core busy; each run holds all features.
        alone = not frozen or torch.cuda.is_available()
        args.jobs = 1 if alone else min(torch.get_num_threads(), 4)
    plan = Plan(cfg, methods, args.seeds, args.holdout, frozen, args.out)
    counts, names, plan = look_at(plan, args.metric, console)
    if frozen and not args.dry_run:
        failed = run_jobs([plan.features_job()], args, console)
        if failed:
            raise UserError(
                f'{failed[0].name} failed: {last_line_of(failed[0])}'
            )
    plan, notes = budgeted(plan, args, console)
    if args.dry_run:
        return 0
    failed = run_jobs(plan.trials(), args, console)
    seeds = range(plan.seeds)
    for job in failed:
        if job.name.startswith(f'{REFERENCE} '):
            raise UserError(
                f'{job.name} failed, and every other method is compared with '
                f'it: {last_line_of(job)}'
            )
    # With a frozen backbone these are the trials.
    losses = [] if frozen else [n for n in LOSSES if n != REFERENCE]
    failed += run_jobs(
        [
            *(plan.posthoc(seed) for seed in seeds),
            *(plan.classifier(loss, s) for s in seeds for loss in losses),
        ],
        args,
        console,
    )
    results = gather(plan, losses, counts)
    spent = results.seconds
    whole = duration(mean([spent[m] for m in plan.methods if m in spent]))
    on_features = [spent[m] for m in spent if m.startswith(CLASSIFIER)]
    if frozen:
        notes.append(f'A run on these features took {whole}.')
    elif on_features:
        notes.append(
            'A classifier on the features of a softmax run took '
            f'{duration(mean(on_features))}, a whole run {whole}.'
        )
    found = answer(results.comparison, args.metric, names, plan.seeds)
    found.warnings.extend(doubts(results, found))
    if failed:
        notes.append(
            f'Left out, for they failed: {", ".join(job.name for job in failed)} '
            f'({last_line_of(failed[0])}).'
        )
    commands = write(plan, found, results, counts, notes, args)
    show(found, console)
    console.print('To train it on everything:')
    for command in commands:
        console.print(f'  {command}', soft_wrap=True)
    console.print(f'Wrote {args.out}/choice.html and choice.json.')
    return 1 if failed else 0
