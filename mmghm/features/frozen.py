"""Networks of which training changes nothing but a linear classifier."""

import tempfile
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.engine.launch import build_runner
from mmghm.utils.errors import settings_errors


def initial_model(cfg: Config) -> Any:
    """The classifier that a training begins with, its weights loaded."""
    with tempfile.TemporaryDirectory() as work_dir:
        runner = build_runner(Config(dict(cfg.to_dict(), work_dir=work_dir)))
        runner._init_model_weights()
        if cfg.get('load_from'):
            runner.load_checkpoint(cfg.load_from)
    return runner.model


def is_frozen(cfg: Config) -> bool:
    """Whether training changes nothing but a linear classifier.

    Then neither backbone nor neck learn, batch statistics included, and the
    head has no hidden layer.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'), settings_errors():
        model = MODELS.build(cfg.model).train()
    for name in ('backbone', 'neck'):
        part = getattr(model, name, None)
        if part is None:
            continue
        if any(p.requires_grad for p in part.parameters()):
            return False
        if any(
            isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.training
            for m in part.modules()
        ):
            return False
    return not cfg.model.head.get('hidden_dim')
