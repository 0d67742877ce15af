#!/usr/bin/env python
"""Train a model.

Example:
    python tools/train.py configs/ghm_cwap/resnet8_digits_lt.py --seed 0
"""

import argparse

import torch
from mmengine.config import Config

from mmghm.cells import load_config
from mmghm.engine.checkpoints import safe_checkpoints
from mmghm.engine.launch import (
    add_common_arguments,
    build_runner,
    leave_process_group,
    merge_common_arguments,
    prepare_cpu,
    resume_from_complete_checkpoint,
    set_dataloader_defaults,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or cell METHOD/TASK[_ifN]')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or without a value from the latest '
        'complete one in the work dir',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the actual over the base batch size',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start the dataloader workers anew each epoch',
    )
    add_common_arguments(parser)
    return parser.parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    merge_common_arguments(cfg, args)
    # Before what depends on it, such as num_workers.
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        if torch.cuda.is_available():
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
        else:
            cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    for field in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        set_dataloader_defaults(
            cfg,
            field,
            pin_memory=torch.cuda.is_available() and not args.no_pin_memory,
            persistent_workers=not args.no_persistent_workers,
        )
    return cfg


def main() -> None:
    args = parse_args()
    cfg = merge_args(load_config(args.config), args)
    prepare_cpu(cfg)
    resume_from_complete_checkpoint(cfg)
    trusted = [cfg.load_from] if args.trust_checkpoint else []
    with safe_checkpoints(trusted):
        build_runner(cfg).train()
    leave_process_group()


if __name__ == '__main__':
    main()
