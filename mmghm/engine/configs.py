"""Configs by name: a loss, a task and an imbalance factor.

They are composed from ``configs/_base_/losses`` and ``configs/_base_/tasks``
instead of being spelled out in a file each.
"""

import os
import os.path as osp
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config, ConfigDict

import mmghm
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

# Of configs/own_data: environment variables by the same names in capitals.
SETTINGS = ('backbone', 'image_size', 'pretrained', 'freeze')


def configs_folder() -> Path:
    """Find the configs: next to the package, or packed inside it.

    Returns:
        Path: The folder with ``_base_``.

    Raises:
        FileNotFoundError: If there is none.
    """
    package = Path(mmghm.__file__).parent
    for folder in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (folder / '_base_' / 'tasks').is_dir():
            return folder
    raise FileNotFoundError(f'no configs next to or inside {package}')


def method_names() -> List[str]:
    """Names of the losses.

    Returns:
        List[str]: Sorted names.
    """
    return _names('losses')


def task_names() -> List[str]:
    """Names of the tasks: backbone, dataset, schedule.

    Returns:
        List[str]: Sorted names.
    """
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
    given = dict(text.partition('=')[::2] for text in options or ())
    given = {key: given[key] for key in SETTINGS if key in given}
    variables = {key.upper(): value for key, value in given.items()}
    with _environment(variables):
        cfg = _load(name)
    for key, value in given.items():
        if str(cfg.get(key, value)) != value:
            raise UserError(
                f'{key}={value} comes too late: {name} was written with '
                f'{key}={cfg[key]}; give the config of configs/own_data instead'
            )
    return cfg


@contextmanager
def _environment(variables: Dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _load(name: str) -> Config:
    if osp.isfile(name):
        return _read(name)
    path = configs_folder() / re.sub(r'^configs/', '', name)
    path = path.with_suffix('.py')
    if path.is_file():
        return _read(str(path))
    method = path.parent.name
    match = re.fullmatch(r'(.+?)(?:_if(\d+))?', path.stem)
    assert match is not None, 'the pattern matches any name'
    task, factor = match[1], match[2]
    if method not in method_names() or task not in task_names():
        raise ConfigNotFoundError(
            f'no config {name}{closest(f"{method}/{path.stem}", _all_names())} '
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

    Args:
        name (str): Path inside :func:`configs_folder`.

    Returns:
        Dict[str, Any]: What the file and its bases define.
    """
    return Config.fromfile(str(configs_folder() / name)).to_dict()


def compose(
    method: str, task: str, imbalance_factor: Optional[int] = None
) -> Config:
    """Compose a config.

    Args:
        method (str): One of :func:`method_names`.
        task (str): One of :func:`task_names`.
        imbalance_factor (Optional[int]): In place of the task's.

    Returns:
        Config: The complete config, named as a file would be.

    Raises:
        ValueError: If the task is no long-tailed subset and an imbalance
            factor is given.
    """
    base = configs_folder() / '_base_'
    cfg = Config.fromfile(str(base / 'tasks' / f'{task}.py'))
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

    Args:
        cfg (Config): With ``model.head.num_classes``; changed in place.
        method (str): One of :func:`method_names`.
    """
    file = configs_folder() / '_base_' / 'losses' / f'{method}.py'
    part = Config.fromfile(str(file))
    head = cfg.model.head
    head.update(part.get('head', {}))
    head.loss = ConfigDict(num_classes=head.num_classes, **part.loss)
    cfg.custom_hooks = [*cfg.get('custom_hooks', ()), *part.loss_hooks]


def _names(kind: str) -> List[str]:
    folder = configs_folder() / '_base_' / kind
    return sorted(path.stem for path in folder.glob('*.py'))
