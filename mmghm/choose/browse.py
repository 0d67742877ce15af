"""The work of ``mmghm browse``: a train set in figures and pictures."""

import argparse
from typing import Any, List

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from rich.table import Table

from mmghm.datasets import dataset_class_counts, dataset_labels
from mmghm.datasets.class_counts import gini, imbalance_factor
from mmghm.datasets.transforms import LoadCheckedImage
from mmghm.evaluation import group_classes
from mmghm.utils.errors import settings_errors
from mmghm.utils.progress import tracked
from mmghm.utils.text import TextConsole
from mmghm.visualization.distribution import draw_class_distribution
from mmghm.visualization.names import abbreviate


def _statistics_table(counts: np.ndarray, rule: str) -> Table:
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


def _raw_image(dataset: Any, index: int) -> np.ndarray:
    """One image as RGB, without its pipeline."""
    info = dataset.get_data_info(index)
    image = info.get('img')
    if image is None:
        loaded: Any = LoadCheckedImage().transform(info)
        image = loaded['img'][..., ::-1]
    return np.asarray(image).squeeze()


def _draw_samples(
    dataset: Any, counts: np.ndarray, names: List[str], args: argparse.Namespace
) -> Figure:
    labels = dataset_labels(dataset)
    rng = np.random.default_rng(args.seed)
    groups = {
        name: kept
        for name, members in group_classes(counts, args.groups)[1].items()
        if len(kept := members[counts[members] > 0])
    }
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
                image = _raw_image(dataset, int(index))
                axes.imshow(image, cmap='gray' if image.ndim == 2 else None)
                name = abbreviate(names[label], 16)
                axes.set_title(f'{name}\n{counts[label]:,} images', fontsize=7)
                if column == 0:
                    axes.text(
                        *(-0.12, 0.5, abbreviate(group, 30)),
                        transform=axes.transAxes,
                        rotation=90,
                        va='center',
                        ha='right',
                        fontweight='bold',
                    )
    figure.suptitle('Sample images by group (training images of the class)')
    return figure


def browse(args: argparse.Namespace, cfg: Config) -> None:
    """Print and draw what a train set holds."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    console = TextConsole()
    with console.status('Reading the train set'), settings_errors():
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
    console.print(_statistics_table(counts, args.groups))
    absent = np.flatnonzero(counts == 0)
    if len(absent):
        shown = ', '.join(names[i] for i in absent[:10])
        console.print(f'{len(absent)} classes have no image: {shown} ...')
    args.out_dir.mkdir(parents=True, exist_ok=True)
    pictures = dict(
        classes=draw_class_distribution(counts, names, args.groups),
        samples=_draw_samples(dataset, counts, names, args),
    )
    for name, figure in pictures.items():
        path = args.out_dir / f'{name}.png'
        figure.savefig(path, dpi=130)
        console.print(f'Saved {path}', soft_wrap=True)
