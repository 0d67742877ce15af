"""What configs say, however they say it."""

from typing import Any

from mmengine.config import Config

LINEAR_HEADS = ('LinearClsHead', 'NormedLinearClsHead')


def type_name(part: Any) -> str:
    """Name of a config's type, whether it is a name or a class.

    Args:
        part (Any): A config.

    Returns:
        str: Without a scope; empty if it has no type.
    """
    kind = part.get('type', '')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def run_length(cfg: Config) -> int:
    """Length of a run in the units of its checkpoints.

    Args:
        cfg (Config): A config.

    Returns:
        int: Epochs, or iterations under an iteration-based loop.
    """
    return cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters
