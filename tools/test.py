#!/usr/bin/env python
"""Test a model.

Example:
    python tools/test.py configs/ghm_cwap/resnet8_digits_lt.py \
        work_dirs/ghm_cwap/resnet8_digits_lt/epoch_40.pth
"""

import argparse

from _options import add_config, add_launch, make_parser


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='file for metrics or predictions')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out gets; predictions by default',
    )
    parser.add_argument('--show-dir', help='folder for drawn predictions')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th image'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds a window stays'
    )
    parser.add_argument(
        '--tta', action='store_true', help='average over augmentations'
    )
    add_launch(parser)
    args = parser.parse_args()
    if args.out_item is not None and args.out is None:
        parser.error('--out-item needs --out FILE')
    return args


# Before the imports that take seconds, so that --help answers at once.
ARGS = parse_args() if __name__ == '__main__' else argparse.Namespace()

from copy import deepcopy

import mmengine
import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import DumpResults

from mmghm.experiments.cells import load_config
from mmghm.experiments.launch import (
    build_runner,
    leave_process_group,
    merge_common_arguments,
    named_downloads,
    prepare_cpu,
    set_dataloader_defaults,
)
from mmghm.fileio.checkpoints import safe_checkpoints
from mmghm.utils.errors import one_line_errors


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    merge_common_arguments(cfg, args)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        if 'visualization' not in cfg.default_hooks:
            raise ValueError(
                '--show and --show-dir need default_hooks.'
                "visualization=dict(type='VisualizationHook')"
            )
        cfg.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        pipeline = deepcopy(cfg.test_dataloader.dataset.pipeline)
        cfg.setdefault('tta_model', dict(type='mmpretrain.AverageClsScoreTTA'))
        if 'tta_pipeline' not in cfg:
            flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
            cfg.tta_pipeline = [
                *pipeline[:-1],
                dict(type='TestTimeAug', transforms=[flips, [pipeline[-1]]]),
            ]
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    set_dataloader_defaults(
        cfg,
        'test_dataloader',
        pin_memory=torch.cuda.is_available() and not args.no_pin_memory,
    )
    return cfg


def main(args: argparse.Namespace) -> None:
    cfg = merge_args(load_config(args.config), args)
    prepare_cpu(cfg)
    trusted = [args.checkpoint] if args.trust_checkpoint else []
    with safe_checkpoints(trusted), named_downloads(cfg):
        runner = build_runner(cfg)
        if args.out and args.out_item != 'metrics':
            runner.test_evaluator.metrics.append(
                DumpResults(out_file_path=args.out)
            )
        metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    leave_process_group()


if __name__ == '__main__':
    with one_line_errors('test.py', ARGS.debug):
        main(ARGS)
