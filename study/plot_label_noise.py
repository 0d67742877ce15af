#!/usr/bin/env python
"""Show what weights eq. (1) gives to images whose labels are wrong.

Reads a checkpoint of a run with GHMCWAPLoss, of any setting, whose train set is
a LongTailDataset with label_noise; runs the network over the train images
without augmentation; and looks W up in the histogram of the epoch that the
checkpoint ends.

Example:
    python study/plot_label_noise.py work_dirs/noise --epoch 48 \
        --out wrong.png --json wrong.json
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import torch
from mmengine.config import Config

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.cli.options import make_parser
from mmghm.deploy.network import build_model, head_logits, run_dataset
from mmghm.losses.functional import gradient_norm
from mmghm.utils.errors import UserError, one_line_errors
from study.label_noise import (
    draw_label_noise,
    weights_of_wrong_labels,
)
from study.saved import load_loss


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('work_dir', type=Path, help='folder of the run')
    parser.add_argument(
        '--epoch', type=int, required=True, help='which epoch_*.pth to read'
    )
    parser.add_argument('--out', type=Path, required=True, help='picture')
    parser.add_argument('--json', type=Path, help='file for the figures')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the given checkpoint even if it could run code',
    )
    return parser.parse_args()


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    configs = list(args.work_dir.glob('*.py'))
    checkpoint = args.work_dir / f'epoch_{args.epoch}.pth'
    if len(configs) != 1:
        raise UserError(
            f'{args.work_dir} must hold one config, got {len(configs)}; name '
            'the work dir of a run'
        )
    if not checkpoint.exists():
        raise UserError(f'there is no {checkpoint}; give --epoch one there is')
    try:
        loss, _ = load_loss(checkpoint, args.trust_checkpoint)
    except ValueError as error:
        raise UserError(f'{error}') from error
    cfg = Config.fromfile(str(configs[0]))
    model, _ = build_model(cfg, str(checkpoint), args.trust_checkpoint)
    logits, labels, dataset = run_dataset(
        model,
        cfg.train_dataloader,
        'train images',
        lambda inputs: head_logits(model.head, model.extract_feat(inputs)),
    )
    if getattr(dataset, 'label_noise', None) is None:
        raise UserError(
            f'the train set of {configs[0].name} has no label_noise; give it '
            'to the LongTailDataset'
        )
    losses, weight = loss.eval().weighted_losses(logits.float(), labels)
    assert weight is not None, 'the loss weights by W'
    norm = gradient_norm(losses)
    groups = weights_of_wrong_labels(
        norm.numpy(),
        weight.numpy(),
        labels.numpy(),
        dataset.clean_labels,
        logits.size(1),
    )
    with matplotlib.rc_context({'font.size': 9}):
        draw_label_noise(groups).savefig(args.out, dpi=130)
    if args.json:
        record = dict(
            label_noise=dataset.label_noise,
            alpha=loss.alpha,
            normalize=loss.normalize,
            epoch=args.epoch,
            groups=groups,
        )
        args.json.write_text(json.dumps(record, indent=1) + '\n')
    found = groups['all']
    print(
        f'{found["wrong"]:.1%} of {found["examples"]} labels are wrong; W is '
        f'lower for a wrong one than for a right one in {found["auc"]:.1%} of '
        f'pairs; their share of the gradient goes from '
        f'{found["gradient_of_wrong"]:.1%} to '
        f'{found["weighted_gradient_of_wrong"]:.1%}.'
    )


if __name__ == '__main__':
    args = parse_args()
    with one_line_errors('plot_label_noise.py', args.debug):
        main(args)
