"""Losses as checkpoints hold them."""

from pathlib import Path
from typing import Any, Dict, Tuple

from mmengine.config import ConfigDict

from mmghm.engine.safe_loading import read_checkpoint
from mmghm.losses import GHMCWAPLoss
from mmghm.utils.literals import read_settings

# By which a loss with histograms is known.
_KEY = '.finished_edges'


def load_loss(
    path: Path, trust: bool = False
) -> Tuple[GHMCWAPLoss, Dict[str, Any]]:
    """Build the loss of a checkpoint, with its histograms.

    Args:
        path (Path): The checkpoint.
        trust (bool): Read it even if it could run code.

    Returns:
        Tuple[GHMCWAPLoss, Dict[str, Any]]: The loss, with the settings that
        the checkpoint's config gives it and the class counts of its training,
        and the checkpoint's ``meta``.

    Raises:
        ValueError: If it was trained with another loss.
    """
    checkpoint = read_checkpoint(path, trust)
    try:
        weights, meta = dict(checkpoint['state_dict']), checkpoint['meta']
        # A name or two of the meta are looked up.
        meta.get('cfg')
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f'{path} is no checkpoint of a training') from error
    key = next((k for k in weights if k.endswith(_KEY)), None)
    if key is None:
        raise ValueError(f'{path} was trained without GHMCWAPLoss')
    prefix = key[: -len(_KEY) + 1]
    cfg = read_settings(str(meta.get('cfg', '')))
    settings = ConfigDict(cfg).get('model', {}).get('head', {}).get('loss', {})
    kept = {
        name: settings[name]
        for name in ('alpha', 'normalize', 'gamma', 'margin')
        if name in settings
    }
    state = {
        name[len(prefix) :]: value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    try:
        loss = GHMCWAPLoss(*state['counts'].shape, **kept)
        loss.load_state_dict(state)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f'{path}: its histograms are damaged') from error
    if 'class_counts' in meta:
        loss.set_class_counts(meta['class_counts'])
    return loss, meta
