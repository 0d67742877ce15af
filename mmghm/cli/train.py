"""Train a model.

Example:
    mmghm train ghm_cwap/resnet8_digits_lt.py --seed 0
"""

from argparse import ArgumentParser, Namespace
from typing import Any, List

from mmghm.utils.errors import UserError

from .options import add_config, add_launch


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or without a value from the latest '
        'complete one in the work dir',
    )
    add('--no-validate', action='store_true', help='do not validate')
    add(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the actual over the base batch size',
    )
    add(
        '--no-persistent-workers',
        action='store_true',
        help='start the dataloader workers again each epoch',
    )
    add_launch(parser)
    return parser.parse_args(arguments)


def merge_args(cfg: Any, args: Namespace) -> Any:
    """Put the options into the config."""
    import torch

    from mmghm.engine.launch import merge_common_arguments

    merge_common_arguments(cfg, args)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        if torch.cuda.is_available():
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
        else:
            cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise UserError(
                '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in '
                'the config'
            )
        cfg.auto_scale_lr.enable = True
    return cfg


def run(args: Namespace) -> None:
    """Train."""
    from mmghm.engine.configs import load_config
    from mmghm.engine.console import progress_bar
    from mmghm.engine.launch import (
        build_runner,
        is_rank_zero,
        leave_process_group,
        named_downloads,
        prepare_cpu,
        resume_from_complete_checkpoint,
    )
    from mmghm.engine.safe_loading import trust_checkpoint
    from mmghm.engine.work_dir import own_work_dir
    from mmghm.features.training import train_on_features

    cfg = merge_args(load_config(args.config, args.cfg_options), args)
    start = None if cfg.get('resume') else cfg.get('load_from')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    resume = bool(cfg.get('resume'))
    # Without a launcher each process is a run of its own.
    is_main = cfg.launcher == 'none' or is_rank_zero()
    with own_work_dir(cfg.work_dir, resume, is_main):
        prepare_cpu(cfg)
        resume_from_complete_checkpoint(cfg, start)
        if args.trust_checkpoint and not cfg.load_from and args.resume is None:
            raise UserError(
                '--trust-checkpoint trusts the one that --resume FILE or '
                'load_from names, and there is none'
            )
        trusted = cfg.load_from if args.trust_checkpoint else None
        with trust_checkpoint(trusted), named_downloads(cfg):
            if cfg.get('train_on_features'):
                train_on_features(cfg)
                return
            runner = build_runner(cfg)
            runner.logger.info(
                f'Work dir: {cfg.work_dir}; the whole log: {runner._log_dir}'
            )
            with progress_bar(runner):
                runner.train()
    leave_process_group()
