"""A trained model as a folder that others can use."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch
from jinja2 import Template
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmghm.datasets.class_counts import imbalance_factor
from mmghm.evaluation import GroupAccuracy
from mmghm.evaluation.groups import group_names
from mmghm.utils.dependencies import import_optional, version_of
from mmghm.utils.errors import UserError, writing_errors

from .allowed import check_settings
from .calibration import GROUP_RULE, Calibration, Scores
from .images import is_loader, loading_settings
from .network import innermost

WEIGHTS, PTH, CONFIG = 'model.safetensors', 'model.pth', 'config.json'
CLASSES, CALIBRATION, CARD = 'classes.json', 'calibration.json', 'README.md'
SUMS = 'SHA256SUMS'
_CARD = Path(__file__).parent / 'card.md.j2'


def loads_files(cfg: Config) -> bool:
    """Whether the test pipeline reads files, with blue first.

    Datasets of decoded images give RGB.
    """
    pipeline = innermost(cfg.test_dataloader.dataset).get('pipeline') or []
    return bool(pipeline) and is_loader(pipeline[0])


def inference_config(cfg: Config, model: Any) -> Dict[str, Any]:
    """What remains of a config once training is over, as plain settings.

    ``model`` is its classifier, adapters merged. ``custom_imports`` is there
    only if a part of the network is this package's.
    """
    network = _without_training(cfg.model.to_dict())
    backbone = network['backbone']
    if backbone['type'] in ('LoRABackbone', 'LoRAModel'):
        network['backbone'] = backbone['module']
    network['head']['loss'] = dict(type='CrossEntropyLoss')
    preprocessor = dict(cfg.model.get('data_preprocessor') or {})
    plain = {k: preprocessor[k] for k in ('mean', 'std') if k in preprocessor}
    to_rgb = bool(preprocessor.get('to_rgb', False))
    load = dict(type='LoadImageFromFile')
    if loads_files(cfg):
        pipeline = innermost(cfg.test_dataloader.dataset)['pipeline']
        load.update(loading_settings(pipeline))
        if 'value_range' in load:
            load['type'] = 'LoadCheckedImage'
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
        pipeline = innermost(cfg.test_dataloader.dataset).get('pipeline')
        steps += pipeline or [dict(type='PackInputs')]
        to_rgb = not to_rgb and channels == 3
    plain.update(type='ClsDataPreprocessor', to_rgb=to_rgb)
    network['data_preprocessor'] = plain
    settings: Dict[str, Any] = dict(
        default_scope='mmpretrain',
        model=network,
        test_dataloader=dict(
            dataset=dict(type='CustomDataset', pipeline=[load, *steps])
        ),
    )
    own = any(
        type(part).__module__.startswith('mmghm.')
        for name, part in model.named_modules()
        if not name.startswith(('head.loss_module', 'data_preprocessor'))
    )
    if own or load['type'] == 'LoadCheckedImage':
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
    """Weights of the network on the CPU, without the loss.

    It changes the classifier: adapters are merged.
    """
    kinds = type(model.backbone).__mro__
    if 'LoRAModel' in [kind.__name__ for kind in kinds]:
        # MMPretrain has them from 1.0.1 on.
        from mmghm.models.backbones.lora_backbone import merge_adapters

        merge_adapters(model)
    return {
        name: value.detach().cpu().clone().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(('head.loss_module.', 'data_preprocessor.'))
    }


def sha256(path: Path) -> str:
    """Hash a file: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_sums(folder: Path) -> None:
    """Write the hashes of a folder's files, as ``sha256sum`` does."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = [f'{sha256(path)}  {path.name}\n' for path in files]
    (folder / SUMS).write_text(''.join(lines))


def check_sums(folder: Path) -> None:
    """Compare a folder's files with their hashes.

    A UserError says that the hashes are missing, or a file is another one.
    """
    try:
        lines = (folder / SUMS).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'it lacks {SUMS}') from error
    sums = {line[66:]: line[:64] for line in lines}
    for name in (WEIGHTS, CONFIG, CLASSES, CALIBRATION):
        path = folder / name
        if not path.is_file():
            raise UserError(f'it lacks {name}')
        if sums.get(name) != sha256(path):
            raise UserError(f'{name} is not the file that was published')


def group_accuracies(
    scores: Scores, class_counts: np.ndarray
) -> Dict[str, float]:
    """Top-1 accuracy in percent: overall, macro and by group.

    ``class_counts`` are the train images per class, (C,).
    """
    metric = GroupAccuracy(1, GROUP_RULE, class_counts.tolist())
    found = scores.logits.argmax(axis=1)[:, None]
    metric.process(
        None,
        [
            dict(pred_label=label, gt_label=true)
            for label, true in zip(found, scores.labels)
        ],
    )
    metric.evaluate(len(found))
    return {
        group: round(values[0], 2)
        for _, group, _, values in metric.table
        if group != 'worst_class'
    }


def write_folder(
    out: Path,
    settings: Dict[str, Any],
    weights: Dict[str, torch.Tensor],
    classes: Sequence[str],
    calibration: Calibration,
    card: Dict[str, Any],
    check: Callable[[Path], None] = lambda folder: None,
) -> List[Path]:
    """Write a published folder, all of it or nothing; gives its files.

    ``settings`` are those of :func:`inference_config`, ``weights`` those of
    :func:`inference_weights`, and ``card`` is what else the model card says.
    ``check`` is called with the folder before it gets its name; what it raises
    leaves none. A UserError says that the folder exists, the model cannot be
    published, or safetensors is missing.
    """
    safetensors = import_optional('safetensors')
    save_file = import_optional('safetensors.torch').save_file
    if out.exists():
        raise UserError(f'{out} exists; choose another folder or delete it')
    # As JSON has it: lists for tuples.
    settings = json.loads(json.dumps(settings))
    try:
        check_settings(settings, len(classes))
    except UserError as error:
        raise UserError(f'the model cannot be published: {error}') from error
    out.parent.mkdir(parents=True, exist_ok=True)
    groups = group_names(np.array(calibration.class_counts), GROUP_RULE)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.') as made:
        folder = Path(made) / out.name
        folder.mkdir()
        meta = dict(dataset_meta=dict(classes=list(classes)))
        with writing_errors(out, safetensors.SafetensorError, RuntimeError):
            save_file(weights, folder / WEIGHTS, metadata={'format': 'pt'})
            torch.save(dict(state_dict=weights, meta=meta), folder / PTH)
        # safetensors lets nobody else read its file.
        shutil.copymode(folder / PTH, folder / WEIGHTS)
        rows = [
            dict(name=name, train_images=count, group=group)
            for name, count, group in zip(
                classes, calibration.class_counts, groups
            )
        ]
        for name, content in (
            (CONFIG, settings),
            (CLASSES, rows),
            (CALIBRATION, calibration.__dict__),
        ):
            (folder / name).write_text(json.dumps(content, indent=1))
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
        write_sums(folder)
        check(folder)
        os.replace(folder, out)
    return sorted(out.iterdir())
