"""What tells a run from others, and where its result lies."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmghm.datasets import dataset_class_counts, dataset_labels

from .plan import Experiment, experiment_config
from .result_version import version_since


def config_hash(cfg: Config) -> str:
    """Hash the settings that decide what a run computes.

    Where data lie, and what is logged, saved and shown, do not count.

    Args:
        cfg (Config): The config.

    Returns:
        str: 64 hexadecimal digits.
    """
    content = {k: v for k, v in cfg.to_dict().items() if k in _DECIDING}
    content['custom_hooks'] = [
        hook
        for hook in content.get('custom_hooks', ())
        if hook['type'] not in _SHOWING_HOOKS
    ]
    text = json.dumps(_without_paths(content), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_DECIDING = (
    *('model', 'data_preprocessor', 'optim_wrapper', 'param_scheduler'),
    *('train_dataloader', 'val_dataloader', 'val_evaluator'),
    *('train_cfg', 'val_cfg', 'custom_hooks', 'randomness'),
)
_SHOWING_HOOKS = ('RunRecordHook', 'GroupTableHook', 'HistogramPictureHook')


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_paths(v)
            for k, v in value.items()
            if k not in ('data_root', 'per_class_file')
        }
    if isinstance(value, (list, tuple)):
        return [_without_paths(v) for v in value]
    return value


def data_hash(dataset: Any) -> str:
    """Hash which images a train set has, and their labels.

    Args:
        dataset (Any): The dataset.

    Returns:
        str: 64 hexadecimal digits.
    """
    if hasattr(dataset, 'manifest'):
        return dataset.manifest()['sha256']
    labels = dataset_labels(dataset).tobytes()
    counts = dataset_class_counts(dataset).tobytes()
    return hashlib.sha256(labels + counts).hexdigest()


def run_id(experiment: Experiment) -> dict:
    """What tells a run from others before it has run; needs no data.

    Args:
        experiment (Experiment): The run.

    Returns:
        dict: The experiment's fields, the hash of its settings and its result
        version, see :mod:`.result_version`.
    """
    return dict(
        **asdict(experiment),
        config_sha256=config_hash(experiment_config(experiment)),
        mathematics=version_since(experiment.method, experiment.task),
    )


def result_path(folder: Path, experiment: Experiment, ident: dict) -> Path:
    """Where the result of a run lies.

    Args:
        folder (Path): Folder of the results.
        experiment (Experiment): The run.
        ident (dict): Its :func:`run_id`.

    Returns:
        Path: A file name that differs wherever the identity does.
    """
    text = json.dumps(ident, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return (
        folder
        / f'{experiment.name.replace("/", "__")}__s{experiment.seed}__{digest}.json'
    )
