#!/usr/bin/env python
"""Look at a config's long-tailed train set before training on it.

Prints images, classes, imbalance factor, Gini coefficient, groups and absent
classes; draws the distribution, and sample images of each group as they lie on
the disk.

Example:
    python -m mmghm browse_dataset ghm_cwap/resnet8_digits_lt --out-dir browse
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or cell METHOD/TASK[_ifN]')
    parser.add_argument(
        '--out-dir', type=Path, required=True, help='folder for the pictures'
    )
    parser.add_argument(
        '--groups', default='quartile', choices=['quartile', 'kang']
    )
    parser.add_argument(
        '--images', type=int, default=8, help='sample images per group'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the samples')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE')
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser.parse_args()


# Before the imports that take seconds, so that --help answers at once.
ARGS = parse_args() if __name__ == '__main__' else argparse.Namespace()

from typing import List

import numpy as np
from matplotlib.figure import Figure
from mmengine.registry import DATASETS, init_default_scope
from rich.console import Console
from rich.table import Table

from mmghm.datasets import dataset_class_counts, dataset_labels
from mmghm.datasets.class_counts import gini, imbalance_factor
from mmghm.datasets.transforms import LoadCheckedImage
from mmghm.engine.configs import load_config
from mmghm.evaluation import group_classes
from mmghm.utils.errors import UserError, one_line_errors
from mmghm.utils.options import merge_options
from mmghm.utils.progress import tracked
from mmghm.visualization.distribution import draw_class_distribution
from mmghm.visualization.names import abbreviate


def statistics_table(counts: np.ndarray, rule: str) -> Table:
    table = Table('group', 'classes', 'images', 'share', 'images a class')
    for name, members in group_classes(counts, rule)[1].items():
        if len(members):
            images = counts[members]
            table.add_row(
                name,
                f'{len(members):,}',
                f'{images.sum():,}',
                f'{images.sum() / counts.sum():.1%}',
                f'{images.max():,} to {images.min():,}',
            )
    return table


def raw_image(dataset: object, index: int) -> np.ndarray:
    """One image as RGB, without its pipeline."""
    info = dataset.get_data_info(index)  # type: ignore[attr-defined]
    image = info.get('img')
    if image is None:
        loaded = LoadCheckedImage().transform(info)
        assert loaded is not None, 'a broken image raises'
        image = loaded['img'][..., ::-1]
    return np.asarray(image).squeeze()


def draw_samples(
    dataset: object,
    counts: np.ndarray,
    names: List[str],
    args: argparse.Namespace,
) -> Figure:
    labels = dataset_labels(dataset)
    rng = np.random.default_rng(args.seed)
    groups = {
        name: members[counts[members] > 0]
        for name, members in group_classes(counts, args.groups)[1].items()
    }
    groups = {name: members for name, members in groups.items() if len(members)}
    figure = Figure(
        figsize=(1.3 * args.images + 0.8, 1.75 * len(groups) + 0.3),
        layout='constrained',
    )
    panels = figure.subplots(len(groups), args.images, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    parts = list(zip(groups.items(), panels))
    with tracked(parts, 'Drawing samples') as rows:
        for (group, members), row in rows:
            # Different classes as far as there are enough, different images.
            chosen = rng.permutation(
                np.resize(rng.permutation(members), len(row))
            )
            images = {
                label: iter(rng.permutation(np.flatnonzero(labels == label)))
                for label in set(chosen.tolist())
            }
            for column, (label, axes) in enumerate(zip(chosen, row)):
                index = next(images[label], None)
                if index is None:
                    continue
                image = raw_image(dataset, int(index))
                axes.imshow(image, cmap='gray' if image.ndim == 2 else None)
                name = abbreviate(names[label], 16)
                axes.set_title(f'{name}\n{counts[label]:,} images', fontsize=7)
                if column == 0:
                    axes.text(
                        *(-0.12, 0.5, group),
                        transform=axes.transAxes,
                        rotation=90,
                        va='center',
                        ha='right',
                        fontweight='bold',
                    )
    figure.suptitle('Sample images by group (training images of the class)')
    return figure


def main(args: argparse.Namespace) -> None:
    if args.images < 1:
        raise UserError(f'--images must be at least 1, got {args.images}')
    try:
        cfg = load_config(args.config)
    except FileNotFoundError as error:
        raise UserError(f'{error}') from error
    merge_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    console = Console(highlight=False)
    with console.status('Reading the train set'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        counts = dataset_class_counts(dataset)
    classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
    names = [str(name) for name in classes]
    names += [str(i) for i in range(len(names), len(counts))]
    console.print(
        f'{counts.sum():,} images of {len(counts):,} classes; imbalance factor '
        f'{imbalance_factor(counts):.4g}, Gini {gini(counts):.3f}; groups by '
        f'{args.groups!r}'
    )
    console.print(statistics_table(counts, args.groups))
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        shown = ', '.join(names[i] for i in absent[:10])
        console.print(f'{len(absent)} classes have no image: {shown} ...')
    args.out_dir.mkdir(parents=True, exist_ok=True)
    pictures = dict(
        classes=draw_class_distribution(counts, names, args.groups),
        samples=draw_samples(dataset, counts, names, args),
    )
    for name, figure in pictures.items():
        path = args.out_dir / f'{name}.png'
        figure.savefig(path, dpi=130)
        console.print(f'Saved {path}', soft_wrap=True)


if __name__ == '__main__':
    with one_line_errors('browse_dataset.py', ARGS.debug):
        main(ARGS)
