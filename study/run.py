"""Run one experiment and write its result."""

import json
import platform
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Optional

from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.engine.grid import exclusive_lock
from mmghm.engine.launch import (
    build_runner,
    prepare_cpu,
    resume_from_complete_checkpoint,
)
from mmghm.engine.work_dir import RECORD
from mmghm.evaluation import reliability
from mmghm.report.run import read_arrays
from mmghm.utils.environment import hardware, package_versions

from .plan import Experiment, experiment_config
from .result_version import VERSION
from .run_id import data_hash, run_id


def run_experiment(
    experiment: Experiment,
    out: Path,
    work_dir: Path,
    start: Optional[Path] = None,
) -> None:
    """Train, going on from the last checkpoint, and write the result.

    If another process works on the same experiment, it waits for its result.

    Args:
        experiment (Experiment): The run.
        out (Path): The result's file; it appears complete or not at all.
        work_dir (Path): Folder of logs and checkpoints.
        start (Optional[Path]): Checkpoint of a run that this one repeats up
            to there, see :func:`~.plan.prefix`. Not used if it is missing.
    """
    with exclusive_lock(work_dir):
        if out.exists():
            return
        if start and start.exists() and not any(complete_checkpoints(work_dir)):
            shutil.copy(start, work_dir)
        result = _train(experiment, work_dir)
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix('.partial')
        partial.write_text(json.dumps(result, indent=1) + '\n')
        partial.replace(out)


def _train(experiment: Experiment, work_dir: Path) -> dict:
    ident = run_id(experiment)
    cfg = experiment_config(experiment)
    per_class = work_dir / 'per_class.json'
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            launcher='none',
            resume=True,
            visualizer=dict(_delete_=True, type='Visualizer'),
            val_evaluator=dict(per_class_file=str(per_class)),
        )
    )
    cfg.default_hooks.logger.interval = 10**6
    if not experiment.regime:
        cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.train_dataloader.setdefault('collate_fn', dict(type='default_collate'))
    cfg.val_dataloader.setdefault('collate_fn', dict(type='default_collate'))
    prepare_cpu(cfg)
    resume_from_complete_checkpoint(cfg)
    resumed_at = int(re.findall(r'epoch_(\d+)', cfg.load_from or 'epoch_0')[-1])
    start = time.time()
    runner = build_runner(cfg)
    runner.train()
    seconds = time.time() - start

    metric = runner.val_evaluator.metrics[0]
    if not metric.table:
        # Trained before, but killed before the result was written.
        runner.val()
    history = runner.message_hub.log_scalars.get('val/group/overall/top1')
    overalls = list(history.data[0]) if history is not None else []
    last = {
        f'{rule}/{group}' if rule else group: values[0]
        for rule, group, _, values in metric.table
    }
    return dict(
        cell=asdict(experiment),
        identity=dict(
            ident, data_sha256=data_hash(runner.train_dataloader.dataset)
        ),
        mathematics=VERSION,
        last_epoch=last,
        best_epoch_overall=max([*overalls, last['overall']]),
        calibration_error=calibration_error(work_dir),
        per_class=json.loads(per_class.read_text()),
        epochs=runner.max_epochs,
        # Of the last process, and how many epochs it trained.
        wall_seconds=round(seconds, 1),
        epochs_timed=runner.max_epochs - resumed_at,
        versions=package_versions(),
        python=platform.python_version(),
        hardware=hardware(),
    )


def calibration_error(work_dir: Path) -> Optional[float]:
    """Tell how far a run's last scores are from how often they are right.

    Args:
        work_dir (Path): The run's folder.

    Returns:
        Optional[float]: Expected calibration error of the last validation, in
        percent; None if the run recorded no predictions.
    """
    record = read_arrays(work_dir / RECORD / 'predictions.npz')
    if record is None:
        return None
    right = record['label'] == record['prediction']
    found = reliability(record['confidence'], right)
    return round(100 * found.expected_calibration_error, 3)
