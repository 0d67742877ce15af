"""``--cfg-options``: parsed, checked and merged into a config."""

import difflib
import inspect
import warnings
from typing import Any, Dict, Iterable, List, Optional

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from .errors import UserError

# What tools and hooks read besides the runner's own arguments.
_READ_BY_TOOLS = (
    *('auto_scale_lr', 'compile', 'find_unused_parameters', 'custom_imports'),
    *('model_wrapper_cfg', 'optim_wrapper', 'runner_type', 'tta_model'),
    *('tta_pipeline', 'num_classes', 'train_on_features'),
)


def merge_options(cfg: Config, options: Optional[List[str]]) -> None:
    """Override settings of a config, changed in place, by ``key=value``.

    UserError if a key begins with what no config has.
    """
    values: Dict[str, Any] = {}
    for text in options or ():
        key, equals, value = text.partition('=')
        if not (key and equals):
            raise UserError(f'--cfg-options takes key=value, got {text!r}')
        values[key] = DictAction._parse_iterable(value)
        _check_key(cfg, key)
    try:
        cfg.merge_from_dict(values)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        reason = error.args[0] if error.args else error
        raise UserError(f'--cfg-options does not fit: {reason}') from error


def closest(name: str, names: Iterable[str]) -> str:
    """Ask ``'; did you mean train_cfg?'``; nothing if no name is close."""
    found = difflib.get_close_matches(name, list(names), n=1)
    return f'; did you mean {found[0]}?' if found else ''


def _check_key(cfg: Config, key: str) -> None:
    *parents, name = parts = key.split('.')
    known = {*cfg, *_READ_BY_TOOLS, *inspect.signature(Runner).parameters}
    if parts[0] not in known:
        raise UserError(
            f'--cfg-options {key}: no config has {parts[0]!r} at its top'
            f'{closest(parts[0], known)}'
        )
    parent: Any = cfg._cfg_dict
    for part in parents:
        if isinstance(parent, dict):
            parent = parent.get(part)
        elif isinstance(parent, (list, tuple)) and part.isdigit():
            parent = dict(enumerate(parent)).get(int(part))
        else:
            return
    # A class refuses arguments that it does not take; elsewhere nobody would.
    if (
        parents
        and isinstance(parent, dict)
        and 'type' not in parent
        and name not in (*parent, 'type', '_delete_')
    ):
        warnings.warn(
            f'--cfg-options {key}: the config has no such setting, and perhaps '
            f'nothing reads it{closest(name, parent)}'
        )
