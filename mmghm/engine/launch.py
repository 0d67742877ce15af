"""What tools/train.py and tools/test.py share."""

import argparse
import os
import os.path as osp
from typing import Any

import torch
import torch.distributed
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .checkpoints import checkpoint_to_resume


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that mmpretrain's train and test tools have in common.

    Args:
        parser (argparse.ArgumentParser): The parser to add to.
    """
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision (bfloat16 on a machine without a GPU)',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='disable pin_memory in the dataloaders',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value; lists as '
        'key="[a,b]" or key=a,b, without blanks',
    )
    add_trust_argument(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by some launchers',
    )


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint`` to a tool that reads checkpoints.

    Args:
        parser (argparse.ArgumentParser): The parser to add to.
    """
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the given checkpoint even if it could run code',
    )


def merge_common_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Put the common options into the config.

    Args:
        cfg (Config): The config, changed in place.
        args (argparse.Namespace): Parsed options.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    # work_dir: command line, else the config, else the config's file name.
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('./work_dirs', name)
    if args.seed is not None:
        cfg.setdefault('randomness', ConfigDict()).seed = args.seed


def set_dataloader_defaults(cfg: Config, field: str, **defaults: Any) -> None:
    """Complete a dataloader's config.

    Args:
        cfg (Config): The config, changed in place.
        field (str): Such as ``'train_dataloader'``.
        **defaults (Any): Settings where the config has none.
    """
    if cfg.get(field) is None:
        return
    loader = cfg[field]
    for name, value in defaults.items():
        loader.setdefault(name, value)
    loader.setdefault('collate_fn', dict(type='default_collate'))
    if loader.get('num_workers', 0) == 0:
        loader.persistent_workers = False


def resume_from_complete_checkpoint(cfg: Config) -> None:
    """Let a config with ``resume`` name the checkpoint that it goes on from.

    MMEngine would take the one written last, even if it is damaged.

    Args:
        cfg (Config): The config, changed in place.

    Raises:
        CheckpointError: If the one that ``load_from`` names is damaged.
    """
    if not cfg.get('resume'):
        return
    cfg.load_from = checkpoint_to_resume(cfg.work_dir, cfg.get('load_from'))
    if cfg.load_from is None:
        cfg.resume = False
        print_log(f'Nothing to resume in {cfg.work_dir}: starting anew')


def prepare_cpu(cfg: Config) -> None:
    """Make distributed runs work on a machine without an accelerator.

    MMEngine selects a CUDA device while it sets up ranks and wraps the model
    for one; a process group made beforehand and a wrapper without device ids
    are respected.

    Args:
        cfg (Config): The config, changed in place.
    """
    if torch.cuda.is_available() or cfg.launcher != 'pytorch':
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = cfg.setdefault('model_wrapper_cfg', ConfigDict())
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    wrapper.setdefault(
        'find_unused_parameters', cfg.get('find_unused_parameters', False)
    )
    wrapper.device_ids = None


def leave_process_group() -> None:
    """Let all ranks end together.

    Without it a rank's interpreter may shut down while the threads of its
    process group still run, which aborts the process, and torchrun calls a
    finished job failed. Not to be called after an error: the others would be
    waited for.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for.

    Args:
        cfg (Config): The complete config.

    Returns:
        Runner: MMEngine's, or the one of ``runner_type``.
    """
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
