"""A trained model as a folder that others can use."""

import copy
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from jinja2 import Template
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmghm.datasets.class_counts import imbalance_factor
from mmghm.evaluation import group_classes, reliability
from mmghm.evaluation.calibration import (
    fit_prior,
    fit_temperature,
    log_counts,
    risk_coverage,
)
from mmghm.evaluation.groups import group_names
from mmghm.evaluation.priors import log_softmax, normalize_counts, reweigh
from mmghm.utils.dependencies import version_of
from mmghm.utils.errors import UserError

WEIGHTS, PTH, CONFIG = 'model.safetensors', 'model.pth', 'config.py'
CLASSES, CALIBRATION, CARD = 'classes.json', 'calibration.json', 'README.md'
GROUP_RULE = 'quartile'
_CARD = Path(__file__).parent / 'card.md.j2'


@dataclass
class Scores:
    """Logits of a model on labelled images.

    Attributes:
        logits (np.ndarray): Shape (n, C).
        labels (np.ndarray): Shape (n,).
        what (str): Which images these are.
    """

    logits: np.ndarray
    labels: np.ndarray
    what: str


@dataclass
class Calibration:
    """What turns logits into probabilities that mean what they say.

    Attributes:
        temperature (float): Logits are divided by it.
        class_counts (List[int]): Train images per class.
        trained_prior (Optional[List[float]]): Class prior that the model was
            trained toward, None if it is not known.
        prior_from (str): How it is known, or why not.
        fitted_on (str): Which images the rest was fitted on; empty if none.
        figures (Dict[str, Any]): Calibration errors on these.
        answers (Dict[str, Any]): By group of the predicted class, the
            risk-coverage curve on these.
    """

    temperature: float
    class_counts: List[int]
    trained_prior: Optional[List[float]]
    prior_from: str
    fitted_on: str = ''
    figures: Dict[str, Any] = field(default_factory=dict)
    answers: Dict[str, Any] = field(default_factory=dict)


def stated_prior(
    loss: Any, class_counts: np.ndarray
) -> Tuple[Optional[np.ndarray], str]:
    """Class prior that a loss says it trains toward.

    Args:
        loss (Any): The loss module.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Tuple[Optional[np.ndarray], str]: The prior, float64 (C,), or None; and
        how it is known.
    """
    name = type(loss).__name__
    if hasattr(loss, 'trained_prior'):
        found = loss.trained_prior(torch.as_tensor(class_counts))
        if found is not None:
            return found.numpy() / float(found.sum()), f'stated by {name}'
    elif name == 'CrossEntropyLoss' and not (
        loss.use_sigmoid or loss.class_weight is not None
    ):
        return normalize_counts(class_counts), f'stated by {name}'
    return None, f'the formula of {name} does not say it'


def calibrate(
    loss: Any, class_counts: np.ndarray, scores: Optional[Scores]
) -> Calibration:
    """Fit the temperature and, where the loss does not state it, the prior.

    Args:
        loss (Any): The loss module that the model was trained with.
        class_counts (np.ndarray): Train images per class, (C,).
        scores (Optional[Scores]): On images that the model was neither trained
            on nor will be tested on. None fits nothing.

    Returns:
        Calibration: The result.
    """
    prior, known = stated_prior(loss, class_counts)
    counts = class_counts.tolist()
    if scores is None:
        told = None if prior is None else prior.tolist()
        return Calibration(1.0, counts, told, known)
    logits, labels = scores.logits, scores.labels
    if prior is None:
        power = fit_prior(logits, labels, class_counts)
        prior = normalize_counts(class_counts) ** power
        prior /= prior.sum()
        known = f'measured: proportional to (train images)^{power:.2f}'
    log_shift = log_counts(labels, len(class_counts)) - np.log(prior)
    temperature = fit_temperature(logits, labels, log_shift)
    here = np.bincount(labels, minlength=len(class_counts)) / len(labels)
    before, after = log_softmax(logits), log_softmax(logits / temperature)
    stages = {
        'as trained': before,
        'with temperature': after,
        'with temperature, re-weighed': reweigh(after, prior, here),
    }
    groups = np.array(group_names(class_counts, GROUP_RULE))
    result = Calibration(
        temperature,
        counts,
        prior.tolist(),
        known,
        f'{scores.what}, {len(labels):,} images',
        {
            name: _errors(shares, labels, groups)
            for name, shares in stages.items()
        },
    )
    confidence = np.exp(after.max(axis=1))
    predicted = after.argmax(axis=1)
    for group in dict.fromkeys(groups.tolist()):
        chosen = groups[predicted] == group
        curve = risk_coverage(confidence[chosen], (predicted == labels)[chosen])
        result.answers[group] = dict(
            images=int(chosen.sum()),
            **{k: v.round(5).tolist() for k, v in curve._asdict().items()},
        )
    return result


def _errors(
    log_shares: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> Dict[str, float]:
    """Expected calibration error of all images and of each group's."""
    confidence = np.exp(log_shares.max(axis=1))
    correct = log_shares.argmax(axis=1) == labels
    found = {'all': np.ones(len(labels), dtype=bool)}
    found.update(
        (group, groups[labels] == group)
        for group in dict.fromkeys(groups.tolist())
    )
    return {
        name: round(
            reliability(
                confidence[which], correct[which]
            ).expected_calibration_error,
            5,
        )
        for name, which in found.items()
        if which.any()
    }


def calibration_loader(cfg: Config) -> Tuple[Optional[Any], str]:
    """Find images that a model was neither trained nor will be tested on.

    Args:
        cfg (Config): The config.

    Returns:
        Tuple[Optional[Any], str]: Config of a dataloader over them and what
        they are; None if the config has none.
    """
    train = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    test, val = cfg.get('test_dataloader'), cfg.get('val_dataloader')
    if train.get('holdout'):
        loader = copy.deepcopy(test or val)
        pipeline = innermost(loader.dataset).pipeline
        loader.dataset = copy.deepcopy(train)
        loader.dataset.part = 'holdout'
        innermost(loader.dataset).pipeline = pipeline
        return loader, 'images held out of the train set'
    if val and test and val.dataset != test.dataset:
        return copy.deepcopy(val), 'validation images'
    return None, ''


def innermost(dataset: Any) -> Any:
    """Config of the dataset inside all wrappers.

    Args:
        dataset (Any): A dataset's config.

    Returns:
        Any: The config, not a copy.
    """
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def loads_files(cfg: Config) -> bool:
    """Whether the test pipeline reads files, with blue first, or gets RGB.

    Args:
        cfg (Config): A training's config.

    Returns:
        bool: False for datasets of decoded images.
    """
    pipeline = innermost(cfg.test_dataloader.dataset).get('pipeline') or []
    return bool(pipeline) and pipeline[0]['type'].split('.')[-1] in (
        'LoadImageFromFile',
        'LoadCheckedImage',
    )


def inference_config(cfg: Config, model: Any) -> Dict[str, Any]:
    """What remains of a config once training is over.

    Args:
        cfg (Config): The training's config.
        model (Any): Its classifier, adapters merged.

    Returns:
        Dict[str, Any]: Plain settings. ``custom_imports`` is among them only
        if a part of the network is this package's.
    """
    network = _without_training(cfg.model.to_dict())
    backbone = network['backbone']
    if backbone['type'] in ('LoRABackbone', 'LoRAModel'):
        network['backbone'] = backbone['module']
    network['head']['loss'] = dict(type='CrossEntropyLoss')
    preprocessor = dict(cfg.model.get('data_preprocessor') or {})
    plain = {k: preprocessor[k] for k in ('mean', 'std') if k in preprocessor}
    to_rgb = bool(preprocessor.get('to_rgb', False))
    if loads_files(cfg):
        pipeline = innermost(cfg.test_dataloader.dataset)['pipeline']
        steps = [dict(step) for step in pipeline[1:]]
    else:
        # Datasets of decoded images give RGB, files are loaded blue first.
        height, width, channels = _decoded_shape(cfg.test_dataloader.dataset)
        steps = [dict(type='Resize', scale=(width, height))]
        if channels == 1:
            # Quarters and a half: grey stays as it is, to the last bit.
            steps.append(
                dict(
                    type='RandomGrayscale',
                    prob=1.0,
                    keep_channels=False,
                    channel_weights=(1.0, 2.0, 1.0),
                )
            )
        steps.append(dict(type='PackInputs'))
        to_rgb = not to_rgb and channels == 3
    network['data_preprocessor'] = dict(
        type='ClsDataPreprocessor', to_rgb=to_rgb, **plain
    )
    settings: Dict[str, Any] = dict(
        default_scope='mmpretrain',
        model=network,
        test_dataloader=dict(
            dataset=dict(
                type='CustomDataset',
                pipeline=[dict(type='LoadImageFromFile'), *steps],
            )
        ),
    )
    own = any(
        type(part).__module__.startswith('mmghm.')
        for name, part in model.named_modules()
        if not name.startswith(('head.loss_module', 'data_preprocessor'))
    )
    if own:
        settings['custom_imports'] = dict(
            imports=['mmghm'], allow_failed_imports=False
        )
    return settings


def _without_training(part: Any) -> Any:
    """Leave out how weights begin, which would be loaded for nothing."""
    if isinstance(part, dict):
        return {
            key: _without_training(value)
            for key, value in part.items()
            if key not in ('init_cfg', 'pretrained', 'train_cfg', '_scope_')
        }
    if isinstance(part, (list, tuple)):
        return [_without_training(item) for item in part]
    return part


def _decoded_shape(dataset: Any) -> Tuple[int, int, int]:
    """Height, width and channels of the images of a decoded dataset."""
    inner = {**innermost(dataset), 'pipeline': []}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        image = DATASETS.build(inner).get_data_info(0)['img']
    height, width, channels = np.atleast_3d(image).shape
    return height, width, channels


def inference_weights(model: Any) -> Dict[str, torch.Tensor]:
    """Weights of the network, without the loss.

    Args:
        model (Any): The classifier, changed: its adapters are merged.

    Returns:
        Dict[str, torch.Tensor]: By name, on the CPU.
    """
    if _has_adapters(model.backbone):
        # MMPretrain has them from 1.0.1 on.
        from mmghm.models.backbones.lora_backbone import merge_adapters

        merge_adapters(model)
    return {
        name: value.detach().cpu().clone().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(('head.loss_module.', 'data_preprocessor.'))
    }


def _has_adapters(backbone: Any) -> bool:
    return any(kind.__name__ == 'LoRAModel' for kind in type(backbone).__mro__)


def sha256(path: Path) -> str:
    """Hash a file.

    Args:
        path (Path): The file.

    Returns:
        str: 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def group_accuracies(
    scores: Scores, class_counts: np.ndarray
) -> Dict[str, float]:
    """Top-1 accuracy in percent: overall, macro and by group.

    Args:
        scores (Scores): On the test images.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Dict[str, float]: By name.
    """
    hits = scores.logits.argmax(axis=1) == scores.labels
    tested = np.bincount(scores.labels, minlength=len(class_counts))
    right = np.bincount(scores.labels, hits, minlength=len(class_counts))
    with np.errstate(invalid='ignore'):
        accuracy = 100 * right / tested
    found = {'overall': 100 * hits.mean(), 'macro': np.nanmean(accuracy)}
    for name, members in group_classes(class_counts, GROUP_RULE)[1].items():
        members = members[tested[members] > 0]
        if len(members):
            found[name] = accuracy[members].mean()
    return {name: round(float(value), 2) for name, value in found.items()}


def write_folder(
    out: Path,
    settings: Dict[str, Any],
    weights: Dict[str, torch.Tensor],
    classes: Sequence[str],
    calibration: Calibration,
    card: Dict[str, Any],
) -> List[Path]:
    """Write a published folder, all of it or nothing.

    Args:
        out (Path): The folder, which must not be there.
        settings (Dict[str, Any]): Of :func:`inference_config`.
        weights (Dict[str, torch.Tensor]): Of :func:`inference_weights`.
        classes (Sequence[str]): Names of the C classes.
        calibration (Calibration): Of :func:`calibrate`.
        card (Dict[str, Any]): What else the model card says.

    Returns:
        List[Path]: The files.

    Raises:
        UserError: If the folder exists, or safetensors is missing.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise UserError(
            "publishing needs safetensors: pip install 'mmghm[deploy]'"
        ) from error
    if out.exists():
        raise UserError(f'{out} exists; choose another folder or delete it')
    out.parent.mkdir(parents=True, exist_ok=True)
    groups = group_names(np.array(calibration.class_counts), GROUP_RULE)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.') as made:
        folder = Path(made) / out.name
        folder.mkdir()
        save_file(weights, folder / WEIGHTS, metadata={'format': 'pt'})
        meta = dict(dataset_meta=dict(classes=list(classes)))
        torch.save(dict(state_dict=weights, meta=meta), folder / PTH)
        (folder / CONFIG).write_text(Config(settings).pretty_text)
        rows = [
            dict(name=name, train_images=count, group=group)
            for name, count, group in zip(
                classes, calibration.class_counts, groups
            )
        ]
        (folder / CLASSES).write_text(json.dumps(rows, indent=1))
        (folder / CALIBRATION).write_text(
            json.dumps(calibration.__dict__, indent=1)
        )
        (folder / CARD).write_text(
            Template(_CARD.read_text(), trim_blocks=True).render(
                calibration=calibration,
                classes=rows,
                settings=settings,
                factor=imbalance_factor(np.array(calibration.class_counts)),
                versions={
                    name: version_of(name)
                    for name in ('mmghm', 'torch', 'mmengine', 'mmpretrain')
                },
                **card,
            )
        )
        os.replace(folder, out)
    return sorted(out.iterdir())
