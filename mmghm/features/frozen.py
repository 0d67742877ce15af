"""Networks of which training changes nothing but a linear classifier."""

import tempfile
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

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
    parts = [getattr(model, name, None) for name in ('backbone', 'neck')]
    modules = [m for part in parts if part is not None for m in part.modules()]
    return not (
        any(p.requires_grad for m in modules for p in m.parameters(False))
        or any(isinstance(m, _BatchNorm) and m.training for m in modules)
        # Weight and bias are the last layer's.
        or len(list(model.head.parameters())) > 2
    )
