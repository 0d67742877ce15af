"""What a published folder may say: names of networks, and plain arguments.

A folder comes from anybody. What it names is built only if it is a part of a
classification network or a transform that testing uses; for each only
arguments of its signature, and no value that could name a file or an address.
"""

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any, Dict, List, Set

import numpy as np
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, TRANSFORMS

from mmghm.evaluation.calibration import RiskCoverage
from mmghm.utils.errors import UserError

from .calibration import Calibration

# Modules of what a classifier consists of.
_NETWORKS = (
    *('mmpretrain.models.backbones.', 'mmpretrain.models.necks.'),
    *('mmpretrain.models.heads.', 'mmghm.models.'),
)
# And of parts that arguments name, such as norm_cfg=dict(type='BN').
_PARTS = (
    *_NETWORKS,
    *('mmpretrain.models.utils.', 'mmcv.cnn.', 'torch.nn.'),
    'mmengine.model.',
)
_TRANSFORMS = (
    *('LoadImageFromFile', 'LoadCheckedImage', 'PackInputs', 'Resize'),
    *('ResizeEdge', 'CenterCrop', 'Pad', 'Normalize', 'RandomGrayscale'),
    'EfficientNetCenterCrop',
)
# Arguments that load weights.
_LOADING = {'init_cfg', 'pretrained', 'checkpoint', 'checkpoint_path'}
_TOP = {'default_scope', 'model', 'test_dataloader', 'custom_imports'}
# Sizes of layers; class counts are compared with the class names.
_LARGEST = 1 << 20
# Of images, in pixels; and which arguments of transforms these are.
_LONGEST_SIDE = 1 << 12
_SIDES = ('scale', 'crop_size', 'size', 'size_divisor', 'crop_padding')


def read_json(path: Path) -> Any:
    """Read a JSON file of a folder.

    A UserError says that it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise UserError(
            f'{path.parent} is no published model: it lacks {path.name}'
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is damaged: {error}') from error


def check_classes(rows: Any) -> List[str]:
    """Names of the C classes, of what ``classes.json`` holds.

    A UserError says that there is none, one is no text, or one comes twice.
    """
    rows = rows if isinstance(rows, list) else []
    names: List[Any] = [
        row.get('name') if isinstance(row, dict) else None for row in rows
    ]
    if not all(isinstance(name, str) for name in names):
        raise UserError('classes.json has a class without a name')
    if not names:
        raise UserError('classes.json has no list of classes')
    if len(set(names)) < len(names):
        raise UserError('a class comes twice')
    return names


def check_calibration(kept: Any, num_classes: int) -> Calibration:
    """Read what ``calibration.json`` holds, of a model of C classes.

    A UserError says that a field is missing, unknown, or holds what it cannot.
    """
    try:
        found = Calibration(**kept)
    except TypeError as error:
        raise UserError(str(error)) from error
    if not (_is_number(found.temperature) and 1e-6 < found.temperature < 1e6):
        raise UserError(
            f'its temperature must be a positive number, got '
            f'{str(found.temperature)[:40]!r}'
        )
    counts, prior = found.class_counts, found.trained_prior
    if not isinstance(counts, list) or not all(
        isinstance(count, int) and 0 <= count < 2**53 for count in counts
    ):
        raise UserError('class counts must be integers of at least 0')
    if prior is not None and not (
        isinstance(prior, list)
        and all(_is_number(share) and share > 0 for share in prior)
    ):
        raise UserError('its trained prior must be positive numbers')
    for name, length in (
        ('class counts', len(counts)),
        ('prior', num_classes if prior is None else len(prior)),
    ):
        if length != num_classes:
            raise UserError(f'{name} of {length} classes, not {num_classes}')
    for text in (found.prior_from, found.fitted_on):
        if not isinstance(text, str):
            raise UserError(f'expected a text, got {text!r}')
    try:
        for curve in dict(found.answers).values():
            # Three lists of one length, of numbers.
            fields = [curve[field] for field in RiskCoverage._fields]
            if np.array(fields, np.float64).ndim != 2:
                raise ValueError('more than three lists')
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f'a risk-coverage curve: {error}') from error
    return found


def check_settings(settings: Any, num_classes: int) -> None:
    """Refuse a config that is more than a classifier and its transforms.

    The classifier must be one of C classes. A UserError names what is not
    allowed.
    """
    try:
        model, data = settings['model'], settings['test_dataloader']['dataset']
        pipeline = data['pipeline']
        head = model['head']
        imports = (settings.get('custom_imports') or {}).get('imports', [])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f'it lacks {error}') from error
    unknown = set(settings) - _TOP
    if unknown or imports not in ([], ['mmghm']):
        raise UserError(f'it names {sorted(unknown) or imports}')
    if not isinstance(model, dict) or model.get('type') != 'ImageClassifier':
        raise UserError('its model must be an ImageClassifier')
    allowed = {'type', 'backbone', 'neck', 'head', 'data_preprocessor'}
    if set(model) - allowed:
        raise UserError(f'its model has {sorted(set(model) - allowed)}')
    if not isinstance(head, dict) or head.get('num_classes') != num_classes:
        raise UserError(f'its head is not one of {num_classes} classes')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        necks = model.get('neck') or []
        # The head's loss is of no use here, and never built.
        for part in (
            *(necks if isinstance(necks, list) else [necks]),
            model.get('backbone'),
            {k: v for k, v in head.items() if k != 'loss'},
        ):
            if not isinstance(part, dict):
                raise UserError(f'a part of its network is {part!r:.60}')
            _check_part(part, _NETWORKS)
        _check_pixels(model.get('data_preprocessor'))
        check_steps(pipeline)


def check_steps(steps: Any) -> None:
    """Refuse configs of anything but transforms that testing uses.

    A UserError names what is not allowed.
    """
    if not isinstance(steps, list):
        raise UserError('its transforms must be a list')
    for step in steps:
        kind = step.get('type') if isinstance(step, dict) else None
        if kind not in _TRANSFORMS:
            raise UserError(
                f'{kind!r} is none of the transforms {", ".join(_TRANSFORMS)}'
            )
        _check_arguments(step, TRANSFORMS.get(kind))
        if step.get('scale_factor') is not None:
            raise UserError(f'{kind} takes no scale_factor, but a size')
        for key in _SIDES:
            sides = step.get(key) or 0
            for side in sides if isinstance(sides, list) else [sides]:
                if type(side) is not int or not 0 <= side <= _LONGEST_SIDE:
                    raise UserError(
                        f'{kind} takes at most {_LONGEST_SIDE} pixels, got '
                        f'{key}={str(side)[:40]}'
                    )


def _check_pixels(preprocessor: Any) -> None:
    if not isinstance(preprocessor, dict):
        raise UserError('it has no data_preprocessor')
    if set(preprocessor) - {'type', 'mean', 'std', 'to_rgb'} or (
        preprocessor.get('type') != 'ClsDataPreprocessor'
    ):
        raise UserError('its data_preprocessor is not ClsDataPreprocessor')
    for name in ('mean', 'std'):
        values = preprocessor.get(name, [1])
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise UserError(f'{name} must be numbers, got {values!r}')


def _check_part(part: Dict[str, Any], modules: tuple) -> None:
    """Refuse a part that is built by its type."""
    name = part.get('type')
    known = isinstance(name, str) and re.fullmatch(r'\w+', name)
    kind = MODELS.get(name) if known else None
    if not inspect.isclass(kind) or not f'{kind.__module__}.'.startswith(
        modules
    ):
        raise UserError(
            f'{str(name)[:60]!r} is no registered part of a network'
        )
    _check_arguments(part, kind)


def _check_arguments(part: Dict[str, Any], kind: Any) -> None:
    taken = _arguments(kind)
    for key, value in part.items():
        if key == 'type':
            continue
        if key in _LOADING:
            raise UserError(f'{key} would load something else')
        if key not in taken or key.startswith('_'):
            raise UserError(f'{part["type"]} takes no {key!r}')
        _check_value(key, value)


def _arguments(kind: Any) -> Set[str]:
    """Names of what a class takes, by its bases where it hands them on."""
    names: Set[str] = set()
    for base in inspect.getmro(kind):
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {p.name for p in parameters}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {'self'}


def _check_value(key: str, value: Any) -> None:
    """Refuse anything but numbers, short words, and lists or dicts of them."""
    if isinstance(value, (int, float)):
        if not abs(value) <= _LARGEST:
            raise UserError(f'{key} is {str(value)[:40]}')
    elif isinstance(value, str):
        # timm's names have dots, as endings of files have.
        allowed = r'[\w.]+' if key == 'model_name' else r'[\w-]*'
        if len(value) > 80 or not re.fullmatch(allowed, value):
            raise UserError(f'{key}={value[:60]!r} is no short word')
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_value(key, item)
    elif isinstance(value, dict) and 'type' in value:
        _check_part(value, _PARTS)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or name.startswith('_'):
                raise UserError(f'{key} has {name!r}')
            if name in _LOADING:
                raise UserError(f'{name} would load something else')
            _check_value(name, item)
    elif value is not None:
        raise UserError(f'{key} is a {type(value).__name__}')


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
