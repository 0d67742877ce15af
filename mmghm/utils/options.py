"""``--cfg-options``: parsed, checked and merged into a config."""

import difflib
import inspect
import warnings
from typing import Any, Dict, Iterable, List, Optional

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from .errors import UserError

# What tools and hooks read besides the runner's own arguments.
_READ_BY_TOOLS = (
    *('auto_scale_lr', 'compile', 'find_unused_parameters', 'custom_imports'),
    *('model_wrapper_cfg', 'optim_wrapper', 'runner_type', 'tta_model'),
    *('tta_pipeline', 'num_classes', 'train_on_features'),
)


def merge_options(cfg: Config, options: Optional[List[str]]) -> None:
    """Override settings of a config.

    Args:
        cfg (Config): The config, changed in place.
        options (Optional[List[str]]): Texts of the form ``key=value``.

    Raises:
        UserError: If a key begins with what no config has.
    """
    values: Dict[str, Any] = {}
    for text in options or ():
        key, equals, value = text.partition('=')
        if not (key and equals):
            raise UserError(f'--cfg-options takes key=value, got {text!r}')
        values[key] = DictAction._parse_iterable(value)
    for key in values:
        _check_key(cfg, key)
    try:
        cfg.merge_from_dict(values)
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        reason = error.args[0] if error.args else error
        raise UserError(f'--cfg-options does not fit: {reason}') from error


def closest(name: str, names: Iterable[str]) -> str:
    """Ask whether another name was meant.

    Args:
        name (str): What was given.
        names (Iterable[str]): What there is.

    Returns:
        str: Such as ``'; did you mean train_cfg?'``, empty if none is close.
    """
    found = difflib.get_close_matches(name, list(names), n=1)
    return f'; did you mean {found[0]}?' if found else ''


def _check_key(cfg: Config, key: str) -> None:
    parts = key.split('.')
    known = {*cfg.keys(), *_READ_BY_TOOLS}
    known |= set(inspect.signature(Runner.__init__).parameters) - {'self'}
    if parts[0] not in known:
        raise UserError(
            f'--cfg-options {key}: no config has {parts[0]!r} at its top'
            f'{closest(parts[0], known)}'
        )
    parent: Any = cfg
    for part in parts[:-1]:
        if isinstance(parent, (list, tuple)):
            if not part.isdigit() or int(part) >= len(parent):
                return
            parent = parent[int(part)]
        else:
            parent = (parent or {}).get(part)
        if parent is None:
            return
    # A class refuses arguments that it does not take; elsewhere nobody would.
    if (
        isinstance(parent, (dict, ConfigDict))
        and 'type' not in parent
        and parts[-1] not in parent
        and parts[-1] not in ('type', '_delete_')
        and parts[:-1]
    ):
        warnings.warn(
            f'--cfg-options {key}: the config has no such setting, and perhaps '
            f'nothing reads it{closest(parts[-1], parent)}'
        )
