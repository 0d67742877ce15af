#!/usr/bin/env python
"""Draw the gradient-norm histograms in a checkpoint (the paper's Fig. 2).

Also draws S and W of every category, next to it.

Example:
    python -m mmghm plot_histograms work_dirs/resnet8_digits_lt/epoch_40.pth \
        --out histograms.png --classes 0 4 9
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from mmghm.engine.launch import add_trust_argument
from mmghm.visualization.distribution import draw_category_terms
from mmghm.visualization.histograms import draw_histograms
from mmghm.visualization.saved import load_loss


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('checkpoint', type=Path, help='checkpoint file')
    parser.add_argument('--out', type=Path, required=True, help='picture')
    parser.add_argument(
        '--classes',
        nargs='+',
        type=int,
        help='numbers of classes; by default some from head to tail',
    )
    parser.add_argument(
        '--max-classes', type=int, default=6, help='how many by default'
    )
    add_trust_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        loss, meta = load_loss(args.checkpoint, args.trust_checkpoint)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'plot_histograms.py: {error}') from error
    outside = [c for c in args.classes or () if not 0 <= c < loss.num_classes]
    if outside:
        raise SystemExit(
            f'plot_histograms.py: --classes must be 0 to '
            f'{loss.num_classes - 1}, got {outside}'
        )
    names = (meta.get('dataset_meta') or {}).get('classes')
    epoch = meta.get('epoch')
    chosen = np.asarray(args.classes) if args.classes else None
    with matplotlib.rc_context({'font.size': 9}):
        draw_histograms(
            loss,
            names,
            args.max_classes,
            f'Gradient-norm histograms after epoch {epoch}',
            chosen,
        ).savefig(args.out, dpi=130)
        categories = args.out.with_name(f'{args.out.stem}_categories.png')
        draw_category_terms(loss, names).savefig(categories, dpi=130)
    print(f'Saved {args.out} and {categories}')


if __name__ == '__main__':
    main()
