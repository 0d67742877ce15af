"""What train, test, choose and publish have in common."""

import argparse
import os
import os.path as osp
from contextlib import contextmanager
from typing import Any, Iterator, Optional
from urllib.error import URLError

import torch
import torch.distributed
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmghm.engine.checkpoints import checkpoint_to_resume
from mmghm.engine.console import ConciseRunner
from mmghm.engine.work_dir import default_work_dir
from mmghm.utils.errors import UserError, settings_errors
from mmghm.utils.options import merge_options

from .configs import configs_folder


def merge_common_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Put the common options into the config, changed in place."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    # work_dir: command line, else the config, else the config's name.
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = default_work_dir(cfg.filename, configs_folder())
    if args.seed is not None:
        cfg.setdefault('randomness', ConfigDict()).seed = args.seed
    # Before what depends on it, such as num_workers.
    merge_options(cfg, args.cfg_options)
    check_classes(cfg)
    for field in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        set_dataloader_defaults(
            cfg,
            field,
            pin_memory=torch.cuda.is_available() and not args.no_pin_memory,
            persistent_workers=not getattr(args, 'no_persistent_workers', True),
        )


def check_classes(cfg: Config) -> None:
    """Refuse numbers of classes that are none, or that differ."""
    model = cfg.get('model') or {}
    head = model.get('head') or {}
    loss = head.get('loss') or {} if isinstance(head, dict) else {}
    found = {
        name: part['num_classes']
        for name, part in (
            ('model.head.num_classes', head),
            ('model.head.loss.num_classes', loss),
            ('data_preprocessor.num_classes', cfg.get('data_preprocessor')),
        )
        if isinstance(part, dict) and part.get('num_classes') is not None
    }
    for name, number in found.items():
        if not isinstance(number, int) or number < 1:
            raise UserError(
                f'{name} must be an integer of at least 1, got {number!r}'
            )
    if len(set(found.values())) > 1:
        told = ', '.join(f'{name}={n}' for name, n in found.items())
        raise UserError(f'numbers of classes differ: {told}; set all to one')


@contextmanager
def named_downloads(cfg: Config) -> Iterator[None]:
    """Say what to do without a network where CIFAR would be downloaded."""
    try:
        yield
    except URLError as error:
        dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
        while 'dataset' in dataset:
            dataset = dataset['dataset']
        name = dataset.get('type')
        if name not in ('CIFAR10', 'CIFAR100'):
            raise
        raise UserError(
            f'cannot download {name} ({error.reason}); put the official files '
            f'into {dataset["data_root"]}, or set {name}_FOLDER to a folder '
            'with the images as train/<class>/* and test/<class>/*'
        ) from error


def is_rank_zero() -> bool:
    """Whether this process is the first of all, before there is a group.

    By the variables that torchrun, Slurm and Open MPI set.
    """
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    ranks = (os.environ[name] for name in names if name in os.environ)
    return next(ranks, '0') == '0'


def set_dataloader_defaults(cfg: Config, field: str, **defaults: Any) -> None:
    """Complete the config of ``'train_dataloader'`` or another, changed in place.

    ``defaults`` are settings where it has none.
    """
    if cfg.get(field) is None:
        return
    loader = cfg[field]
    for name, value in defaults.items():
        loader.setdefault(name, value)
    loader.setdefault('collate_fn', dict(type='default_collate'))
    if loader.get('num_workers', 0) == 0:
        loader.persistent_workers = False


def resume_from_complete_checkpoint(
    cfg: Config, start: Optional[str] = None
) -> None:
    """Let a config with ``resume`` name the checkpoint that it goes on from.

    MMEngine would take the one written last, even if it is damaged. ``start`` is
    the ``load_from`` to begin with where there is none to go on from.
    CheckpointError if the one that ``load_from`` names is; UserError if the run
    saves where no list of files can be had.
    """
    if not cfg.get('resume'):
        return
    saving = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder, out_dir = cfg.work_dir, saving.get('out_dir')
    if out_dir:
        # Where CheckpointHook saves then.
        folder = osp.join(out_dir, osp.basename(cfg.work_dir.rstrip('/')))
        if '://' in str(out_dir) and not cfg.get('load_from'):
            raise UserError(
                f'--resume cannot look for checkpoints in {folder}; name one: '
                '--resume ADDRESS'
            )
    cfg.load_from = checkpoint_to_resume(
        folder, cfg.get('load_from'), saving.get('filename_tmpl')
    )
    if cfg.load_from is None:
        cfg.resume, cfg.load_from = False, start
        print_log(f'Nothing to resume in {folder}: starting at the beginning')


def prepare_cpu(cfg: Config) -> None:
    """Make distributed runs work on a machine without an accelerator.

    MMEngine selects a CUDA device while it sets up ranks and wraps the model
    for one; a process group made beforehand and a wrapper without device ids
    are respected.
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


@settings_errors()
def build_runner(cfg: Config) -> Runner:
    """Build MMEngine's runner with a short console, or that of ``runner_type``."""
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = ConciseRunner.from_cfg(cfg)
    # Of configs/own_data: where each part comes from.
    sources = cfg.get('sources')
    if sources:
        told = [f'{part} from {place}' for part, place in sources.items()]
        runner.logger.info(f'Images: {"; ".join(told)}')
    return runner
