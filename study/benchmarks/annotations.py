"""Lists and JSON files of large sets: time, memory, many processes.

With the environment variable CLASS_COUNTS_FOLDER also with the true class sizes
of ImageNet-LT and iNaturalist 2017 (train and val).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import numpy as np

from mmghm.datasets import ImageList, INaturalist, profile_counts
from mmghm.datasets.listed_images import ListedImages
from study.benchmarks.harness import Row, interleave, progress, summarise

# ImageNet's train set, and iNaturalist 2018's.
LIST_IMAGES, LIST_CLASSES = 1_281_167, 1000
JSON_IMAGES, JSON_CLASSES = 437_513, 8142
# A rank of a training run as far as its loader and its class counts.
RANK = """
import json, sys, time
start = float(sys.argv[2])
from pathlib import Path
import torch.distributed as dist
import mmpretrain.datasets
from mmengine.runner import Runner
import mmghm.datasets

def private():
    text = Path('/proc/self/smaps_rollup').read_text().splitlines()[1:]
    sizes = dict(line.split(':') for line in text)
    return sum(int(v.split()[0]) for k, v in sizes.items() if 'Private' in k)

dist.init_process_group('gloo')
imported, before = time.time() - start, private()
loader = Runner.build_dataloader(dict(
    batch_size=32, num_workers=0, sampler=dict(type='DefaultSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='LongTailDataset', imbalance_factor=100, cap=True,
        dataset=dict(
            type='mmpretrain.ImageList', pipeline=[],
            ann_file=sys.argv[1], num_classes={num_classes},
        ),
    ),
), seed=0)
batch = next(iter(loader))
found = dict(
    seconds=time.time() - start, imported=imported,
    memory=(private() - before) / 2**10, images=len(loader.dataset),
    counts=loader.dataset.class_counts.tolist(),
)
gathered = [None] * dist.get_world_size()
dist.all_gather_object(gathered, found)
if dist.get_rank() == 0:
    print(json.dumps(gathered))
dist.destroy_process_group()
"""


def long_tail(images: int, classes: int) -> np.ndarray:
    """Exponential class sizes that sum to a number of images.

    The imbalance factor is 256, ImageNet-LT's.
    """
    most = np.full(classes, images)
    shares = profile_counts(most, 'exp', 256) / images
    counts = np.maximum(np.floor(shares / shares.sum() * images), 1).astype(int)
    counts[0] += images - counts.sum()
    return counts


def named_images(counts: np.ndarray) -> Iterator[Tuple[str, int]]:
    """Paths like the official ones, in a random order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    for number, label in enumerate(labels.tolist()):
        yield f'train/n{label:08d}/n{label:08d}_{number}.JPEG', label


def write_list(path: Path, counts: np.ndarray) -> None:
    with open(path, 'w') as file:
        file.writelines(f'{p} {label}\n' for p, label in named_images(counts))


def write_json(path: Path, counts: np.ndarray) -> None:
    images, annotations = [], []
    for number, (name, label) in enumerate(named_images(counts)):
        name = name.replace('train/', 'train_val2018/Plantae/')
        images.append(
            dict(
                license=3,
                file_name=name,
                rights_holder='an observer',
                width=800,
                id=number,
                height=600,
            )
        )
        annotations.append(dict(image_id=number, category_id=label, id=number))
    categories = [
        dict(id=i, name=f'species {i}', supercategory='Plantae')
        for i in range(len(counts))
    ]
    content = dict(
        images=images, categories=categories, annotations=annotations
    )
    path.write_text(json.dumps(content))


def load_with_numpy(path: Path) -> None:
    record = [('path', 'U64'), ('label', 'i4')]
    np.loadtxt(path, dtype=record, delimiter=' ', comments=None)


def split_in_python(path: Path) -> None:
    with open(path) as file:
        [line.rsplit(maxsplit=1) for line in file]


def load_json(path: Path) -> None:
    with open(path, 'rb') as file:
        json.loads(file.read())


def real_counts(name: str) -> List[np.ndarray]:
    """True class sizes, where a folder of them is named."""
    folder = os.environ.get('CLASS_COUNTS_FOLDER')
    if not folder:
        return []
    return [np.array(json.loads((Path(folder) / name).read_text())['counts'])]


def compare(case: str, bare: dict, read: Callable, repeats: int) -> List[Row]:
    """Time bare parsers, and a dataset that reads the same file."""
    name = type(read()).__name__
    samples = interleave({**bare, name: read}, repeats, 1)
    rows = summarise(case, samples, next(iter(bare)), 's', 1)
    rows[-1].note = memory(read())
    return rows


def memory(dataset: ListedImages) -> str:
    """What stays in memory, beside the paths' own bytes."""
    table = dataset.data_list.table
    columns = (table.paths, table.labels, table.lines)
    arrays = sum(x.nbytes for x in columns if x is not None)
    paths = sum(map(len, table.paths.to_pylist()))
    return (
        f'keeps {arrays / 2**20:.1f} MiB, {arrays / paths:.2f} x '
        f'the {paths / 2**20:.1f} MiB of paths'
    )


def reading(folder: Path, quick: bool) -> List[Row]:
    repeats = 2 if quick else 9
    images = 100_000 if quick else LIST_IMAGES
    lists = {f'list, {images:,} images': long_tail(images, LIST_CLASSES)}
    for counts in real_counts('imagenet_lt_train_counts.json'):
        lists['list, ImageNet-LT'] = counts
    rows: List[Row] = []
    for case, counts in lists.items():
        path = folder / f'{len(rows)}.txt'
        write_list(path, counts)
        bare = {
            'numpy.loadtxt': partial(load_with_numpy, path),
            'split() of each line': partial(split_in_python, path),
        }
        read = partial(
            ImageList, str(path), num_classes=len(counts), pipeline=[]
        )
        rows += compare(case, bare, read, repeats)
    images = 100_000 if quick else JSON_IMAGES
    files = {f'JSON, {images:,} images': long_tail(images, JSON_CLASSES)}
    for counts in real_counts('inat2017_trainval_counts.json'):
        files['JSON, iNaturalist 2017'] = counts
    for case, counts in files.items():
        path = folder / f'{len(rows)}.json'
        write_json(path, counts)
        bare = {'json.loads': partial(load_json, path)}
        read = partial(INaturalist, str(path), pipeline=[])
        rows += compare(case, bare, read, repeats)
    return rows


def starting(folder: Path, quick: bool) -> List[Row]:
    """Processes of one machine, from their launch to the first batch."""
    images = 100_000 if quick else LIST_IMAGES
    rows = []
    for ranks in progress((2,) if quick else (2, 4), 'processes'):
        runs = []
        for _ in range(1 if quick else 3):
            runs.append(launch(folder, ranks))
        counts = {tuple(rank['counts']) for run in runs for rank in run}
        assert len(counts) == 1, 'ranks disagree on the class counts'
        slowest = np.array([max(r['seconds'] for r in run) for run in runs])
        imported = np.array([max(r['imported'] for r in run) for run in runs])
        memory = max(rank['memory'] for run in runs for rank in run)
        new = summarise(
            f'{ranks} processes, {images:,} images',
            {
                'from launch to the first batch': slowest,
                'of which until they are connected': imported,
            },
            'from launch to the first batch',
            's',
            1,
        )
        new[0].note = (
            f'{runs[0][0]["images"]:,} images and the same class counts on '
            f'every rank; at most {memory:.0f} MiB of its own a rank'
        )
        rows += new
    return rows


def launch(folder: Path, ranks: int) -> List[dict]:
    script = folder / 'rank.py'
    script.write_text(RANK.replace('{num_classes}', str(LIST_CLASSES)))
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [
            *(
                sys.executable,
                '-W',
                'ignore',
                '-m',
                'torch.distributed.run',
            ),
            *('--nproc_per_node', str(ranks), '--master_port', str(port)),
            *(script, folder / '0.txt', str(time.time())),
        ],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f'the ranks failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    with tempfile.TemporaryDirectory() as name:
        rows = reading(Path(name), quick)
        return dict(annotations=rows + starting(Path(name), quick))
