#!/usr/bin/env python
"""Show what weights eq. (1) gives to whom in the course of a run.

Reads the histograms in a run's checkpoints (of any setting of GHMCWAPLoss, also
of the margin alone) and works out W under the scales asked for.

Example:
    python study/plot_weights.py work_dirs/ghm_cwap/resnet8_digits_lt \
        --out weights.png --json weights.json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Dict

import matplotlib

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.cli.options import make_parser
from mmghm.losses import GHMCWAPLoss
from mmghm.utils.errors import UserError, one_line_errors
from study.saved import load_loss
from study.weights import RANGES, draw_weights, weights_by_group


def epoch_losses(work_dir: Path, trust: bool) -> Dict[int, GHMCWAPLoss]:
    """The loss after each epoch that has a checkpoint."""
    losses = {}
    for path in work_dir.glob('epoch_*.pth'):
        try:
            loss, meta = load_loss(path, trust)
        except ValueError as error:
            raise UserError(f'{error}') from error
        losses[meta['epoch']] = loss
    if not losses:
        raise UserError(f'no epoch_*.pth in {work_dir}')
    return dict(sorted(losses.items()))


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('work_dir', type=Path, help='folder of epoch_*.pth')
    parser.add_argument('--out', type=Path, required=True, help='picture')
    parser.add_argument('--json', type=Path, help='file for the figures')
    parser.add_argument(
        '--scales',
        nargs='+',
        choices=['none', 'regions', 'mean', 'gradient'],
        default=['none', 'mean', 'gradient'],
    )
    parser.add_argument('--alpha', type=float, default=0.9)
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the given checkpoint even if it could run code',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    losses = epoch_losses(args.work_dir, args.trust_checkpoint)
    epochs = {
        epoch: weights_by_group(loss, args.alpha, args.scales)
        for epoch, loss in losses.items()
    }
    with matplotlib.rc_context({'font.size': 9}):
        draw_weights(epochs).savefig(args.out, dpi=130)
    if args.json:
        # A range without examples has no mean weight: NaN.
        record = dict(alpha=args.alpha, ranges=RANGES, epochs=epochs)
        args.json.write_text(json.dumps(record, indent=1) + '\n')


if __name__ == '__main__':
    args = parse_args()
    with one_line_errors('plot_weights.py', args.debug):
        main(args)
