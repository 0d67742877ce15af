"""Configs by name: a loss, a task and an imbalance factor.

They are composed from ``configs/_base_/losses`` and ``configs/_base_/tasks``
instead of being spelled out in a file each.
"""

import os
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config, ConfigDict

import mmghm
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

# Of configs/own_data: environment variables by the same names in capitals.
SETTINGS = ('backbone', 'image_size', 'pretrained', 'freeze')


def configs_folder() -> Path:
    """The folder with ``_base_``: next to the package, or packed inside it."""
    package = Path(mmghm.__file__).parent
    for folder in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (folder / '_base_' / 'tasks').is_dir():
            return folder
    raise FileNotFoundError(f'no configs next to or inside {package}')


def method_names() -> List[str]:
    """Sorted names of the losses."""
    return _names('losses')


def task_names() -> List[str]:
    """Sorted names of the tasks: backbone, dataset, schedule."""
    return _names('tasks')


def load_config(name: str, options: Optional[List[str]] = None) -> Config:
    """Load a config file, or compose a config by its name.

    A name is ``METHOD/TASK`` or ``METHOD/TASK_ifN`` with N the imbalance
    factor, with or without ``configs/`` before and ``.py`` after it, for
    example ``seesaw/resnet32_cifar10_lt_if100``.

    Args:
        name (str): Path of a config file, or a name.
        options (Optional[List[str]]): Texts ``key=value``. Those of
            :data:`SETTINGS` act while the file is read; all are still to be
            merged.

    Returns:
        Config: The complete config.

    Raises:
        ConfigNotFoundError: If it is neither.
        UserError: If the file cannot be read as a config, or an option comes
            too late for it.
    """
    pairs = [text.split('=', 1) for text in options or () if '=' in text]
    given = {key: value for key, value in pairs if key in SETTINGS}
    variables = {key.upper(): value for key, value in given.items()}
    before = {key: os.environ[key] for key in variables if key in os.environ}
    os.environ.update(variables)
    try:
        cfg = _load(name)
    finally:
        for variable in variables:
            del os.environ[variable]
        os.environ.update(before)
    for key, value in given.items():
        if str(cfg.get(key, value)) != value:
            raise UserError(
                f'{key}={value} comes too late: {name} was written with '
                f'{key}={cfg[key]}; give the config of configs/own_data instead'
            )
    return cfg


def _load(name: str) -> Config:
    if osp.isfile(name):
        return _read(name)
    path = configs_folder() / name.removeprefix('configs/')
    path = path.with_suffix('.py')
    if path.is_file():
        return _read(str(path))
    method = path.parent.name
    match = re.fullmatch(r'(.+?)(?:_if(\d+))?', path.stem)
    assert match is not None, 'the pattern matches any name'
    task, factor = match[1], match[2]
    if method not in method_names() or task not in task_names():
        raise ConfigNotFoundError(
            f'no config {name}{closest(f"{method}/{path.stem}", _all_names()) or "."} '
            'It takes a file, or a name METHOD/TASK[_ifN]; methods: '
            f'{", ".join(method_names())}; tasks: {", ".join(task_names())}'
        )
    return compose(method, task, int(factor) if factor else None)


class ConfigNotFoundError(UserError, FileNotFoundError):
    """There is no such config."""


def _read(path: str) -> Config:
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:
        # A config is Python: anything may go wrong in it.
        raise UserError(
            f'cannot read the config {path}: {type(error).__name__}: '
            f'{" ".join(str(error).split())}'
        ) from error


def _all_names() -> List[str]:
    folder = configs_folder()
    files = [
        path.relative_to(folder).with_suffix('').as_posix()
        for path in folder.glob('[!_]*/*.py')
    ]
    return files + [f'{m}/{t}' for m in method_names() for t in task_names()]


def config_variables(name: str) -> Dict[str, Any]:
    """Read one of the package's config files, for ``read_base``.

    ``mmghm/configs``, which setup.py writes, calls it for each file.
    """
    return Config.fromfile(str(configs_folder() / name)).to_dict()


def compose(
    method: str, task: str, imbalance_factor: Optional[int] = None
) -> Config:
    """Compose a config, named as a file would be.

    Of one of :func:`method_names` and one of :func:`task_names`. UserError if an
    imbalance factor is to replace that of a task that has none.
    """
    cfg = Config.fromfile(str(configs_folder() / f'_base_/tasks/{task}.py'))
    set_method(cfg, method)
    if imbalance_factor is not None:
        dataset = cfg.train_dataloader.dataset
        if dataset.type != 'LongTailDataset':
            raise UserError(
                f'{task} is long-tailed by itself; no imbalance factor can be '
                f'chosen, got {imbalance_factor}'
            )
        dataset.imbalance_factor = imbalance_factor
        task = f'{task}_if{imbalance_factor}'
    # MMEngine names experiments and work dirs after the file.
    path = configs_folder() / method / f'{task}.py'
    object.__setattr__(cfg, '_filename', str(path))
    return cfg


def set_method(cfg: Config, method: str) -> None:
    """Give a config without a loss that of a method, its head and its hooks.

    It has ``model.head.num_classes``, and is changed in place.
    """
    file = configs_folder() / f'_base_/losses/{method}.py'
    part = Config.fromfile(str(file))
    head = cfg.model.head
    head.update(part.get('head', {}))
    head.loss = ConfigDict(num_classes=head.num_classes, **part.loss)
    cfg.custom_hooks = [*cfg.get('custom_hooks', ()), *part.loss_hooks]


def _names(kind: str) -> List[str]:
    return sorted(p.stem for p in configs_folder().glob(f'_base_/{kind}/*.py'))
