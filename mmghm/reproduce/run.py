"""Run one cell and write its result, in a process of its own.

``python -m mmghm.reproduce.run --cell '{...}' --out FILE --work-dir DIR``
"""

import argparse
import json
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from mmghm.engine.launch import build_runner, mmengine_checkpoints, prepare_cpu

from .plan import Cell, cell_config, identity

PACKAGES = ('mmghm', 'torch', 'torchvision', 'mmengine', 'mmpretrain', 'numpy')


def run_cell(cell: Cell, out: Path, work_dir: Path) -> dict:
    """Train a cell, going on from its last checkpoint, and write the result.

    Args:
        cell (Cell): The run.
        out (Path): The result's file; it appears complete or not at all.
        work_dir (Path): Folder of logs and checkpoints.

    Returns:
        dict: The result.
    """
    ident = identity(cell)
    cfg = cell_config(cell)
    per_class = work_dir / 'per_class.json'
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            launcher='none',
            resume=True,
            visualizer=dict(_delete_=True, type='Visualizer'),
            val_evaluator=dict(per_class_file=str(per_class)),
            default_hooks=dict(checkpoint=dict(max_keep_ckpts=1)),
        )
    )
    cfg.default_hooks.logger.interval = 10**6
    cfg.train_dataloader.setdefault('collate_fn', dict(type='default_collate'))
    cfg.val_dataloader.setdefault('collate_fn', dict(type='default_collate'))
    prepare_cpu(cfg)
    start = time.time()
    with mmengine_checkpoints():
        runner = build_runner(cfg)
        runner.train()
    spent_file = work_dir / 'seconds.json'
    spent = json.loads(spent_file.read_text()) if spent_file.exists() else 0
    seconds = spent + time.time() - start
    spent_file.write_text(json.dumps(seconds))

    if not per_class.exists():
        # Finished before, but killed before the result was written.
        with mmengine_checkpoints():
            runner.val()
    metric = runner.val_evaluator.metrics[0]
    if not metric.table:
        with mmengine_checkpoints():
            runner.val()
    history = runner.message_hub.log_scalars.get('val/group/overall/top1')
    overalls = list(history.data[0]) if history is not None else []
    last = {
        f'{rule}/{group}' if rule else group: values[0]
        for rule, group, _, values in metric.table
    }
    result = dict(
        cell=asdict(cell),
        identity=ident,
        last_epoch=last,
        best_epoch_overall=max([*overalls, last['overall']]),
        per_class=json.loads(per_class.read_text()),
        epochs=runner.max_epochs,
        wall_seconds=round(seconds, 1),
        versions={name: version(name) for name in PACKAGES},
        python=platform.python_version(),
        hardware=hardware(),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix('.partial')
    partial.write_text(json.dumps(result, indent=1) + '\n')
    partial.replace(out)
    return result


def hardware() -> str:
    """Name the device that a run uses.

    Returns:
        str: The GPU, or the CPU with its number of threads.
    """
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [
        line.partition(':')[2].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    ] or [platform.processor()]
    return f'{names[0]}, {torch.get_num_threads()} threads'


def main() -> None:
    """Run the cell that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cell', required=True, help='fields of Cell, JSON')
    parser.add_argument('--out', required=True, type=Path)
    parser.add_argument('--work-dir', required=True, type=Path)
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    run_cell(Cell(**json.loads(args.cell)), args.out, args.work_dir)


if __name__ == '__main__':
    main()
