#!/usr/bin/env python
"""Draw the pictures of the pages.

From the results: docs/accuracy_by_group.png and docs/margins.png. With --photographs, a folder of class folders, also
docs/long_tail.png. It was made from Caltech-101 (Li, Andreeto, Ranzato and
Perona, CC BY 4.0).

Examples:
    python study/draw_pages.py
    python study/draw_pages.py --photographs data/caltech101
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Dict, List

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.losses.functional import balanced_margin_term, eq2_margin_terms
from study.intervals import estimate
from study.render import setting_of

DOCS = Path('docs')
FULL = Path('study/results/full')
INK, BLUE = '#1d2733', '#1f5f99'
GREEN, ORANGE = '#3b9a8f', '#d98e04'
GROUPS = {
    'overall': 'all classes',
    'many': '3 largest',
    'medium': 'next 3',
    'few': 'next 2',
    'rare': '2 smallest',
}
# What is shown, by setting and the key of study/after_training.py.
SHOWN = {
    'softmax': ('softmax', 'as_trained', '#8a95a3'),
    "ghm_cwap, the paper's method": ('ghm_cwap', 'as_trained', ORANGE),
    'Balanced Softmax': ('balanced_margin', 'as_trained', GREEN),
    'softmax, prior corrected': ('softmax', 'prior_corrected', BLUE),
}
# Classes whose photographs stand above the bars; people are left out.
CLASSES = (
    *('airplanes', 'watch', 'bonsai', 'butterfly', 'flamingo'),
    *('elephant', 'rooster', 'pigeon', 'panda', 'inline_skate'),
)


def read() -> Dict[str, List[Dict[str, Dict[str, float]]]]:
    """What study/after_training.py wrote, by setting."""
    found: Dict[str, List[Dict[str, Dict[str, float]]]] = {}
    for path in sorted(FULL.glob('*.json')):
        after = FULL / 'after_training' / path.name
        if after.exists():
            setting = setting_of(json.loads(path.read_text()))
            found.setdefault(setting, []).append(json.loads(after.read_text()))
    return found


def draw_groups() -> Figure:
    """Accuracy by group of classes."""
    found = read()
    figure = Figure(figsize=(6.8, 3.8), layout='constrained')
    axes = figure.subplots()
    width = 0.8 / len(SHOWN)
    for number, (name, (setting, key, color)) in enumerate(SHOWN.items()):
        runs = [one[key] for one in found[setting]]
        bars = [estimate([run[group] for run in runs]) for group in GROUPS]
        places = (
            np.arange(len(GROUPS)) + (number - (len(SHOWN) - 1) / 2) * width
        )
        heights = np.array([bar.mean for bar in bars])
        reaches = [
            np.nan if bar.high is None else bar.high - bar.mean for bar in bars
        ]
        seeds = f'{len(runs)} seed' + ('s' if len(runs) > 1 else '')
        axes.bar(
            places,
            heights,
            width * 0.92,
            yerr=reaches,
            color=color,
            ecolor=INK,
            capsize=2,
            label=f'{name} ({seeds})',
        )
        for place, height in zip(places, heights):
            axes.text(
                place,
                2,
                f'{height:.0f}',
                ha='center',
                color='white',
                fontsize=8,
            )
    axes.set_xticks(range(len(GROUPS)), GROUPS.values())
    axes.set(ylabel='accuracy on test images (%)', ylim=(0, 100))
    axes.legend(
        ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1), frameon=False
    )
    plain(axes)
    return figure


def draw_margins() -> Figure:
    """Both margins for classes of 5,000 to 50 images."""
    sizes = [round(5000 * 100 ** (-i / 5)) for i in range(6)]
    tensor = torch.tensor(sizes, dtype=torch.float32)
    rival, own = eq2_margin_terms(tensor, 0.8)
    balanced = balanced_margin_term(tensor, 1.0)
    both = {
        'ghm_cwap: eq. (2), γ = 0.8': torch.minimum(rival, own[:, None])
        - own[:, None],
        'Balanced Softmax and ghm_cwap_balanced': balanced - balanced[:, None],
    }
    figure = Figure(figsize=(8.4, 4), layout='constrained')
    all_axes = figure.subplots(1, 2, sharey=True)
    names = [f'{size:,}' for size in sizes]
    for axes, (title, margins) in zip(all_axes, both.items()):
        picture = axes.imshow(margins, cmap='RdBu', vmin=-5, vmax=5)
        for row, line in enumerate(margins.tolist()):
            for column, value in enumerate(line):
                text = '0' if abs(value) < 0.05 else f'{value:+.1f}'
                axes.text(
                    column,
                    row,
                    text,
                    ha='center',
                    va='center',
                    fontsize=9,
                    color='white' if abs(value) > 3 else INK,
                )
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(6), names)
        axes.set_yticks(range(6), names)
        axes.set_xlabel('train images of the rival class n')
    all_axes[0].set_ylabel("train images of the image's class m")
    bar = figure.colorbar(picture, ax=all_axes, shrink=0.8)
    bar.set_label("added to the rival's score")
    return figure


def draw_long_tail(folder: Path) -> Figure:
    """Class sizes, with a photograph above some of the bars."""
    counts = {
        path.name: sum(1 for file in path.iterdir() if file.is_file())
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }
    order = sorted(counts, key=lambda name: -counts[name])
    figure = Figure(figsize=(9, 3.9), layout='constrained')
    axes = figure.subplots()
    sizes = [counts[name] for name in order]
    axes.bar(range(len(order)), sizes, width=0.85, color='#9dbcd8')
    chosen = sorted(CLASSES, key=order.index)
    step = len(order) / len(chosen)
    for number, name in enumerate(chosen):
        rank = order.index(name)
        with Image.open(sorted((folder / name).iterdir())[0]) as file:
            image = file.convert('RGB')
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((144, 144), Image.Resampling.LANCZOS)
        axes.bar(rank, counts[name], width=0.85, color=BLUE)
        axes.add_artist(
            AnnotationBbox(
                OffsetImage(np.asarray(image), zoom=0.33),
                (rank, counts[name]),
                xybox=((number + 0.5) * step, 1060),
                frameon=False,
                arrowprops=dict(arrowstyle='-', color='#8a95a3', linewidth=0.8),
            )
        )
        axes.text(
            (number + 0.5) * step,
            1220,
            f'{name.replace("_", " ")}\n{counts[name]} images',
            ha='center',
            va='bottom',
            fontsize=8,
            color=INK,
        )
    axes.set(
        xlim=(-1, len(order)),
        ylim=(0, 1400),
        xlabel=f'{len(order)} classes, from the largest to the smallest',
        ylabel='photographs',
    )
    axes.set_xticks([])
    axes.set_yticks([0, 200, 400, 600, 800])
    axes.spines['left'].set_bounds(0, 800)
    plain(axes)
    return figure


def plain(axes: matplotlib.axes.Axes) -> None:
    """Leave out the frame's upper and right side."""
    axes.spines[['top', 'right']].set_visible(False)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--photographs', type=Path, help='class folders, for long_tail.png'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    figures = {
        'accuracy_by_group': draw_groups(),
        'margins': draw_margins(),
    }
    if args.photographs:
        figures['long_tail'] = draw_long_tail(args.photographs)
    for name, figure in figures.items():
        figure.savefig(DOCS / f'{name}.png', dpi=130)
        print(DOCS / f'{name}.png')


if __name__ == '__main__':
    main(parse_args())
