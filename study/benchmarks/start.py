"""Import time, a long-tailed list of a million images, the first iteration."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

import numpy as np

from study.benchmarks.harness import Row, progress, summarise

# ImageNet's train set.
NUM_IMAGES, NUM_CLASSES = 1_281_167, 1000

IMPORT = """
import json, time
start = time.perf_counter()
import {module}
print(json.dumps(dict(seconds=time.perf_counter() - start)))
"""
WRAP = """
import json, resource, sys, time, warnings
from mmghm.datasets import ImageList, LongTailDataset
from pathlib import Path

def resident():
    fields = Path('/proc/self/statm').read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20

start, before = time.perf_counter(), resident()
images = ImageList(sys.argv[1], num_classes={num_classes})
images.full_init()
base, loaded = time.perf_counter() - start, resident()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
start = time.perf_counter()
tail = LongTailDataset(images, imbalance_factor=100, cap=True)
seconds = time.perf_counter() - start
new_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(json.dumps(dict(
    base=base, seconds=seconds, base_memory=loaded - before,
    memory=max(resident() - loaded, new_peak - peak), images=len(tail),
)))
"""
FIRST_ITERATION = """
import json, sys, time
marks = []
def mark(name, start=[time.perf_counter()]):
    now = time.perf_counter()
    marks.append((name, now - start[0]))
    start[0] = now
import torch
mark('import torch')
import mmengine.runner
mark('import mmengine')
import mmpretrain.models
mark('import mmpretrain')
import mmghm
mark('import mmghm')
from mmengine.hooks import Hook
from mmghm.engine.configs import load_config
from mmghm.engine.launch import build_runner, set_dataloader_defaults
cfg = load_config('ghm_cwap/resnet8_digits_lt')
cfg.work_dir = sys.argv[1]
cfg.log_level = 'ERROR'
set_dataloader_defaults(cfg, 'train_dataloader')
set_dataloader_defaults(cfg, 'val_dataloader')
mark('read the config')
runner = build_runner(cfg)
mark('build the runner')
class First(Hook):
    def before_train_epoch(self, runner):
        mark('build the datasets and the model')
    def after_train_iter(self, runner, *args, **kwargs):
        mark('first iteration')
        print(json.dumps(marks))
        sys.stdout.flush()
        import os
        os._exit(0)
runner.register_hook(First(), 'LOWEST')
runner.train()
"""


def child(code: str, *args: str) -> dict:
    """Run code in a fresh interpreter; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *args],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f'a child failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def import_time(quick: bool) -> List[Row]:
    modules = ('mmpretrain.models', 'mmghm')
    samples: Dict[str, List[float]] = {m: [] for m in modules}
    for number in progress(range(2 if quick else 12), 'imports'):
        for module in modules:
            seconds = child(IMPORT.format(module=module))['seconds']
            # The first round reads the files from the disk.
            if number:
                samples[module].append(seconds)
    return summarise(
        'import',
        {name: np.asarray(values) for name, values in samples.items()},
        modules[0],
        's',
        1,
    )


def wrap_list(quick: bool) -> List[Row]:
    number = 10_000 if quick else NUM_IMAGES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'train.txt'
        with open(path, 'w') as file:
            for index in range(number):
                label = index % NUM_CLASSES
                file.write(f'train/n{label:08d}/{index:08d}.JPEG {label}\n')
        code = WRAP.replace('{num_classes}', str(NUM_CLASSES))
        runs = [child(code, str(path)) for _ in range(1 if quick else 3)]
    case = f'{number} images'
    rows = summarise(
        case,
        {
            'reading the list': np.array([r['base'] for r in runs]),
            'LongTailDataset around it': np.array([r['seconds'] for r in runs]),
        },
        'reading the list',
        's',
        1,
    )
    for row, key in zip(rows, ('base_memory', 'memory')):
        row.note = f'{np.median([r[key] for r in runs]):.0f} MiB'
    return rows


def first_iteration(quick: bool) -> List[Row]:
    runs = []
    for number in progress(range(2 if quick else 6), 'first iteration'):
        with tempfile.TemporaryDirectory() as folder:
            marks = child(FIRST_ITERATION, folder)
        if number:
            runs.append(dict(marks))
    samples = {
        name: np.array([marks[name] for marks in runs]) for name in runs[0]
    }
    samples['all of it'] = np.sum(list(samples.values()), axis=0)
    return summarise('digits demo', samples, 'all of it', 's', 1)


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    rows = import_time(quick) + wrap_list(quick) + first_iteration(quick)
    return dict(start=rows)
