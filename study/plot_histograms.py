#!/usr/bin/env python
"""Draw the gradient-norm histograms in a checkpoint (the paper's Fig. 2).

Also draws S and W of every category, next to it.

Example:
    python study/plot_histograms.py work_dirs/ghm_cwap/resnet8_digits_lt/epoch_40.pth \
        --out histograms.png --classes 0 4 9
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.cli.options import make_parser
from mmghm.utils.errors import UserError, one_line_errors
from mmghm.visualization.distribution import draw_category_terms
from mmghm.visualization.histograms import draw_histograms
from study.saved import load_loss


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
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
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the given checkpoint even if it could run code',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    try:
        loss, meta = load_loss(args.checkpoint, args.trust_checkpoint)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f'{error}') from error
    outside = [c for c in args.classes or () if not 0 <= c < loss.num_classes]
    if outside:
        raise UserError(
            f'--classes must be 0 to {loss.num_classes - 1}, got {outside}'
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
    args = parse_args()
    with one_line_errors('plot_histograms.py', args.debug):
        main(args)
