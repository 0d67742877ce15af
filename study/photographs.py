#!/usr/bin/env python
"""Measure the methods on photographs, from a pre-trained network.

Caltech-101 as class folders, a third of every class drawn as test images.

Example:
    python study/photographs.py fine-tune caltech101 --out work_dirs/photographs
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmghm
from mmghm.choose.settings import with_method
from mmghm.datasets.image_folder import read_class_folders
from mmghm.datasets.subsets import split_held_out
from mmghm.deploy.network import build_model, dataset_logits
from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.engine.configs import load_config
from mmghm.engine.launch import build_runner
from mmghm.utils.arrays import write_arrays
from mmghm.utils.errors import one_line_errors

TEST = 1 / 3
FINE_TUNED = ('softmax', 'balanced_softmax', 'ghm_cwap', 'ghm_cwap_balanced')
EPOCHS = 5
SMALL = 64


def draw_test_images(folder: Path, out: Path, draw: int) -> Path:
    """Make a folder with train/ and test/ of links to images.

    Args:
        folder (Path): Class folders.
        out (Path): Where to make it.
        draw (int): Seed of the draw, at least 0.

    Returns:
        Path: The folder.
    """
    root = out / f'draw_{draw}'
    if (root / 'test').exists():
        return root
    found = read_class_folders(str(folder))
    _, test = split_held_out(np.asarray(found.labels), TEST, draw)
    of_test = set(test.tolist())
    for index, path in enumerate(found.paths):
        part = 'test.partial' if index in of_test else 'train'
        link = root / part / Path(path).parent.name / Path(path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path(path).resolve())
    (root / 'test.partial').rename(root / 'test')
    return root


def own_config(root: Path, name: str, **settings: Any) -> Config:
    """A config of configs/own_data for a folder.

    Args:
        root (Path): With train/ and test/.
        name (str): Of the config.
        **settings (Any): Environment variables.

    Returns:
        Config: The config.
    """
    os.environ.update(
        DATA_ROOT=str(root), **{k: str(v) for k, v in settings.items()}
    )
    return load_config(f'own_data/{name}')


def fine_tune(root: Path, method: str, work_dir: Path, out: Path) -> None:
    """Fine-tune a whole network and keep its logits of the test images."""
    cfg = with_method(own_config(root, 'fine_tuning', IMAGE_SIZE=SMALL), method)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    # All images that are not for testing: nothing is chosen on held-out ones.
    cfg.train_dataloader.dataset.holdout = 0
    cfg.val_dataloader = cfg.test_dataloader
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.work_dir = str(work_dir)
    cfg.visualizer = dict(type='Visualizer')
    saved = next(complete_checkpoints(work_dir), None)
    if saved is not None:
        cfg.resume, cfg.load_from = True, saved
    start = time.time()
    runner = build_runner(cfg)
    runner.train()
    spent = time.time() - start
    last = next(complete_checkpoints(work_dir))
    model, _ = build_model(cfg, last, trust=True)
    logits, labels, _ = dataset_logits(model, cfg.test_dataloader, 'test')
    counts = runner.train_dataloader.dataset.class_counts
    write_arrays(
        out,
        logits=logits.astype(np.float32),
        labels=labels,
        class_counts=np.asarray(counts),
        seconds=np.array(spent),
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('what', choices=['fine-tune'])
    parser.add_argument('images', type=Path, help='class folders')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--draws', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--debug', action='store_true')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    mmghm.register()
    for draw in args.draws:
        root = draw_test_images(args.images, args.out, draw)
        for method in FINE_TUNED:
            name = f'{method}_{draw}'
            out = args.out / 'fine_tuned' / f'{name}.npz'
            if not out.exists():
                fine_tune(root, method, args.out / 'runs' / name, out)


if __name__ == '__main__':
    arguments = parse_args()
    with one_line_errors('photographs.py', arguments.debug):
        main(arguments)
