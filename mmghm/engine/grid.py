"""Many runs on one machine or on a cluster."""

import multiprocessing
import os
import re
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import torch
from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mmghm.utils.dependencies import LazyModule
from mmghm.utils.processes import end_with_parent

submitit = LazyModule('submitit')


class Job(NamedTuple):
    """One run of a grid."""

    # What people call it.
    name: str
    # Does it, in a process of its own: a function of a module. It goes on where
    # a killed process was, and writes ``out`` whole or not at all.
    run: Callable[..., None]
    args: Tuple[Any, ...]
    # Folder of its logs and checkpoints.
    work_dir: Path
    # The file that says that it is done.
    out: Path
    # Epochs of the run; iterations under an iteration-based loop.
    length: int


@contextmanager
def exclusive_lock(work_dir: Path) -> Iterator[None]:
    """Wait until no other process works in a folder, made if it is missing.

    Another grid may be at the same run.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(work_dir / 'lock'):
        yield


def reached(work_dir: Path) -> int:
    """Epochs or iterations that the last checkpoint in a folder holds."""
    last = work_dir / 'last_checkpoint'
    text = last.read_text() if last.exists() else ''
    match = re.search(r'(?:epoch|iter)_(\d+)', text)
    return int(match[1]) if match else 0


def threads_each(runs: int) -> int:
    """Threads of each of some runs side by side.

    They share this process's: threads that outnumber the cores wait for each
    other.
    """
    return max(torch.get_num_threads() // runs, 1)


def forking(*modules: str) -> Any:
    """Processes of their own, forked from one that has imported everything.

    Its modules are those of the first call.
    """
    context = multiprocessing.get_context('forkserver')
    # What calibrate imports late would take each process most of a second.
    context.set_forkserver_preload([*modules, 'scipy.optimize'])
    return context


def run_here(
    jobs: Sequence[Job], console: Console, at_a_time: int = 1
) -> List[Job]:
    """Run jobs on this machine, some at a time, with a bar for each.

    What they print goes to ``output.log`` in their folders. Returns those that
    failed.
    """
    failed: List[Job] = []
    if not jobs:
        return failed
    threads = threads_each(min(at_a_time, len(jobs)))
    context = forking(*{job.run.__module__ for job in jobs})
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    running: Dict[int, Tuple[BaseProcess, TaskID]] = {}
    waiting = iter(range(len(jobs)))
    with Progress(*columns, console=console) as progress:
        whole = progress.add_task(
            f'all {len(jobs)} runs', total=sum(job.length for job in jobs)
        )
        done = [0] * len(jobs)
        try:
            while True:
                for number in islice(waiting, at_a_time - len(running)):
                    job = jobs[number]
                    job.work_dir.mkdir(parents=True, exist_ok=True)
                    process: BaseProcess = context.Process(
                        target=_run_logged, args=(job, threads)
                    )
                    process.start()
                    bar = progress.add_task(
                        f'{number + 1}/{len(jobs)} {job.name}', total=job.length
                    )
                    running[number] = process, bar
                if not running:
                    return failed
                wait([process.sentinel for process, _ in running.values()], 0.5)
                for number, (process, bar) in list(running.items()):
                    job = jobs[number]
                    if process.is_alive():
                        done[number] = reached(job.work_dir)
                        progress.update(bar, completed=done[number])
                        continue
                    del running[number]
                    process.join()
                    progress.remove_task(bar)
                    done[number] = job.length
                    if process.exitcode:
                        failed.append(job)
                        _tell_failed(
                            console, job, f'see {job.work_dir / "output.log"}'
                        )
                progress.update(whole, completed=sum(done))
        finally:
            for process, _ in running.values():
                process.terminate()


def run_on_cluster(
    jobs: Sequence[Job],
    console: Console,
    folder: Path,
    cluster: str,
    partition: Optional[str],
    timeout_hours: float,
) -> List[Job]:
    """Hand the jobs to submitit, wait, and return those that failed.

    submitit writes into the folder. The cluster is ``'slurm'``, or ``'local'``
    for processes here.
    """
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(
        timeout_min=int(timeout_hours * 60), cpus_per_task=8
    )
    if cluster == 'slurm':
        executor.update_parameters(gpus_per_node=1, slurm_partition=partition)
    handles = [executor.submit(job.run, *job.args) for job in jobs]
    failed: List[Job] = []
    for job, handle in zip(jobs, handles):
        error = handle.exception()
        if error is not None:
            failed.append(job)
            _tell_failed(console, job, str(error))
    return failed


def _tell_failed(console: Console, job: Job, why: str) -> None:
    console.print(Text.assemble(('failed', 'red'), f' {job.name}: {why}'))


def _run_logged(job: Job, threads: int) -> None:
    """For a process of its own: its output goes to the run's folder."""
    torch.set_num_threads(threads)
    log = os.open(
        job.work_dir / 'output.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Else a killed grid would leave a run that the next one waits for.
    end_with_parent()
    job.run(*job.args)
