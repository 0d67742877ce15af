"""Recipes of trainings: what configs say, and changes of them."""

import copy
from typing import Any

from mmengine.config import Config, ConfigDict

from mmghm.utils.errors import UserError

LINEAR_HEADS = ('LinearClsHead', 'NormedLinearClsHead')
_SHOWING_HOOKS = (
    'HistogramPictureHook',
    'GroupTableHook',
    'RunRecordHook',
    'LongTailVisualizationHook',
)


def type_name(part: Any) -> str:
    """Name of a config's type, a name or a class; empty if it has none."""
    kind = part.get('type', '')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def run_length(cfg: Config) -> int:
    """Epochs of a run, or iterations under an iteration-based loop."""
    return cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters


def tiny_last_batch(images: int, batch_size: int) -> int:
    """Images of an epoch's last batch, if they are less than an eighth of one.

    Batch normalisation takes its statistics from them: with 2 images of 64 softmax
    lost 27 points on the digits, and Balanced Softmax 19.

    Args:
        images (int): Images of a process in an epoch, at least 0.
        batch_size (int): Images of a batch, at least 1.

    Returns:
        int: Their number; 0 if the last batch is large enough, or the only one.
    """
    left = images % batch_size
    return left if images > batch_size and left < batch_size / 8 else 0


def with_learning_rate(cfg: Config, factor: float) -> Config:
    """A copy of a config with another learning rate, factor times as high."""
    cfg = copy.deepcopy(cfg)
    if factor != 1:
        optimizer: Any = cfg.optim_wrapper.get('optimizer') or {}
        if 'lr' not in optimizer:
            raise UserError(
                'learning rates are tried, and optim_wrapper.optimizer has no lr'
            )
        optimizer.lr *= factor
    return cfg


def evaluated_at_end(cfg: Config) -> Config:
    """Let a training keep the scores of its last validation, and little else.

    A copy of the config, without tests, pictures and records.
    """
    cfg = copy.deepcopy(cfg)
    cfg.custom_hooks = [
        hook
        for hook in cfg.custom_hooks
        if type_name(hook) not in _SHOWING_HOOKS
    ]
    if 'ClassCountsHook' not in map(type_name, cfg.custom_hooks):
        cfg.custom_hooks.append(ConfigDict(type='ClassCountsHook'))

    cfg.train_cfg.val_interval = run_length(cfg)
    for name in ('val_begin', 'dynamic_intervals'):
        cfg.train_cfg.pop(name, None)
    cfg.setdefault('val_cfg', ConfigDict())
    cfg.val_evaluator = ConfigDict(type='ClassScores')
    for name in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg.pop(name, None)

    hooks = cfg.setdefault('default_hooks', ConfigDict())
    saving = hooks.setdefault('checkpoint', ConfigDict(interval=1))
    saving.update(type='AtomicCheckpointHook', max_keep_ckpts=1)
    saving.update(save_best=None, save_last=True)
    for name in ('out_dir', 'filename_tmpl'):
        saving.pop(name, None)
    hooks.visualization = ConfigDict(type='VisualizationHook', enable=False)
    cfg.visualizer = ConfigDict(type='Visualizer')
    return cfg
