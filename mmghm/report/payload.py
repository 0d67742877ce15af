"""What a report shows, as data small enough for a page."""

import base64
import gzip
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from mmghm.datasets.class_counts import imbalance_factor
from mmghm.evaluation import group_classes, reliability

from .mistakes import find_mistakes
from .run import Run, read_arrays

RULES = ('quartile', 'kang')
# A curve of more points looks the same.
MAX_POINTS = 600
# Numbers at the ends of a byte's logarithmic scale.
EXAMPLES_RANGE = (0.5, 1e6)
WEIGHTS_RANGE = (1e-4, 1e4)
BINS = 15


def run_payload(run: Run, histogram_bytes: int) -> Dict[str, Any]:
    """Sum a run up, ready for JSON.

    ``histogram_bytes`` is how long its histograms may get in the page.
    """
    counts = run.class_counts
    payload: Dict[str, Any] = dict(
        name=run.name,
        settings=settings(run),
        config=run.config.pretty_text,
        train={k: _thin(*curve) for k, curve in run.train.items()},
        validation={k: _thin(*curve) for k, curve in run.validation.items()},
        started=run.facts.get('started'),
        classes=run.class_names,
        counts=None if counts is None else counts.tolist(),
        in_use=run.in_use,
        train_images=run.train_images,
    )
    if counts is not None:
        payload['groups'] = {
            rule: {
                name: members.tolist()
                for name, members in group_classes(counts, rule)[1].items()
                if len(members)
            }
            for rule in RULES
        }
        if run.predictions is not None:
            payload.update(evaluation(counts, run.predictions))
            payload['mistakes'] = find_mistakes(
                run.predictions, run.class_names, counts
            )
        if run.test is not None:
            payload['test'] = dict(
                evaluation(counts, run.test),
                mistakes=find_mistakes(run.test, run.class_names, counts),
                checkpoint=str(run.test['checkpoint']),
            )
    payload['histograms'] = histograms(run.histogram_files, histogram_bytes)
    return payload


def settings(run: Run) -> List[List[str]]:
    """Names and values of the settings that matter most, as far as known."""
    cfg, facts = run.config, run.facts
    model = cfg.get('model', {})
    head = model.get('head', {})
    loader = cfg.get('train_dataloader', {})
    dataset = loader.get('dataset', {})
    optimizer = cfg.get('optim_wrapper', {}).get('optimizer', {})
    backbone = model.get('backbone', {})
    versions = facts.get('versions', {})
    counts = run.class_counts
    images = ''
    if counts is not None and counts.any():
        images = (
            f'{counts.sum():,} images of {len(counts):,} classes, '
            f'{counts.max():,} to {counts.min():,} a class '
            f'(imbalance factor {imbalance_factor(counts):.4g})'
        )
    rows = [
        ['loss', _call(head.get('loss', {}))],
        ['head', str(head.get('type', ''))],
        ['backbone', f'{backbone.get("type")} {backbone.get("depth", "")}'],
        ['dataset', _call(dataset, leave_out=('dataset', 'pipeline'))],
        ['of', _call(dataset.get('dataset', {}), leave_out=('pipeline',))],
        ['training set', images],
        ['epochs', str(cfg.get('train_cfg', {}).get('max_epochs', ''))],
        ['batch size', str(loader.get('batch_size', ''))],
        ['optimizer', _call(optimizer)],
        ['seed', str(facts.get('seed', ''))],
        ['ranks', str(facts.get('world_size', ''))],
        ['device', str(facts.get('device', ''))],
        ['versions', ', '.join(f'{k} {v}' for k, v in versions.items())],
    ]
    return [row for row in rows if row[1].strip() not in ('', 'None')]


def _call(part: Mapping[str, Any], leave_out: Sequence[str] = ()) -> str:
    """A config as Python would build it."""
    if not part.get('type'):
        return ''
    hidden = ('type', 'class_counts', 'metainfo', 'classes', '_scope_')
    arguments = [
        f'{key}={_brief(value)}'
        for key, value in part.items()
        if key not in (*hidden, *leave_out)
    ]
    name = part['type']
    name = name if isinstance(name, str) else name.__name__
    return f'{name}({", ".join(arguments)})'


def _brief(value: Any, most: int = 8) -> str:
    """A value as Python writes it; of a long list the beginning."""
    if isinstance(value, (list, tuple)) and len(value) > most:
        first = ', '.join(map(repr, value[:3]))
        return f'[{first}, … {len(value)} in all]'
    return repr(value)


def evaluation(
    counts: np.ndarray, predictions: Dict[str, np.ndarray]
) -> Dict[str, Any]:
    """Accuracy, confusion and calibration of a validation or a test.

    ``counts`` are train images per class, (C,), ``predictions`` those of
    ``GroupAccuracy``. Gives ``tested`` and ``correct`` images per class, and by
    rule ``confusion`` (proportion of a group's images that is predicted as each
    group) and ``calibration`` (of all images and of each group's).
    """
    label, prediction = predictions['label'], predictions['prediction']
    confidence = predictions['confidence']
    size = max(len(counts), int(label.max()) + 1, int(prediction.max()) + 1)
    right = label == prediction
    result: Dict[str, Any] = dict(
        tested=np.bincount(label, minlength=size).tolist(),
        correct=np.bincount(label[right], minlength=size).tolist(),
        confusion={},
        calibration={},
    )
    padded = np.pad(counts, (0, size - len(counts)))
    for rule in RULES:
        _, groups = group_classes(padded, rule)
        names = [name for name, members in groups.items() if len(members)]
        group_of = np.zeros(size, dtype=np.int64)
        for number, name in enumerate(names):
            group_of[groups[name]] = number
        pairs = np.zeros((len(names), len(names)))
        np.add.at(pairs, (group_of[label], group_of[prediction]), 1)
        with np.errstate(invalid='ignore'):
            shares = pairs / pairs.sum(axis=1, keepdims=True)
        result['confusion'][rule] = dict(
            names=names, shares=shares.round(5).tolist()
        )
        if np.isfinite(confidence).all():
            chosen = {'all': np.ones(len(label), dtype=bool)}
            for number, name in enumerate(names):
                chosen[name] = group_of[label] == number
            result['calibration'][rule] = {
                name: _calibration(confidence[which], right[which])
                for name, which in chosen.items()
                if which.any()
            }
    return result


def _calibration(confidence: np.ndarray, right: np.ndarray) -> Dict[str, Any]:
    found = reliability(confidence, right, BINS)
    return dict(
        ece=round(found.expected_calibration_error, 5),
        images=len(right),
        mean_confidence=round(float(confidence.mean()), 5),
        mean_accuracy=round(float(right.mean()), 5),
        **{k: v.round(5).tolist() for k, v in found._asdict().items()},
    )


def histograms(files: Dict[int, Path], budget: int) -> Optional[Dict[str, Any]]:
    """Code the recorded histograms of as many steps as the budget allows.

    A byte for the examples and for the weight of each region, on logarithmic
    scales, and two for each inner edge, on the arcsine scale that they are
    drawn on; gzip over all, base64 around it. The budget is the length of the
    text in bytes; one step is kept even if it is longer. None without any.
    """
    parts: Dict[int, str] = {}
    shape = (0, 0)
    for step in sorted(files):
        arrays = read_arrays(files[step])
        if arrays is not None:
            shape = arrays['examples'].shape
            parts[step] = _code(arrays)
    if not parts:
        return None
    steps = list(parts)
    for number in range(len(steps), 0, -1):
        # The last one always; from two on also the first.
        places = np.linspace(len(steps) - 1, 0, number).round().astype(int)
        kept = [steps[place] for place in reversed(places)]
        if sum(len(parts[step]) for step in kept) <= budget:
            break
    return dict(
        steps=kept,
        recorded=len(steps),
        classes=shape[0],
        regions=shape[1],
        examples_range=EXAMPLES_RANGE,
        weights_range=WEIGHTS_RANGE,
        data=[parts[step] for step in kept],
    )


def _code(arrays: Dict[str, np.ndarray]) -> str:
    examples, weights = arrays['examples'], arrays['weights']
    inner = np.clip(arrays['edges'][:, 1:-1], 0, 1)
    angle = np.arcsin(np.sqrt(inner)) / (math.pi / 2)
    # 0 says that the region was empty.
    coded = [
        np.where(examples > 0, _byte(examples, EXAMPLES_RANGE), 0),
        np.where(examples > 0, _byte(weights, WEIGHTS_RANGE), 0),
    ]
    raw = b''.join(part.astype(np.uint8).tobytes() for part in coded)
    raw += (angle * 65535).round().astype('<u2').tobytes()
    return base64.b64encode(gzip.compress(raw, mtime=0)).decode()


def _byte(numbers: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Code positive numbers as 1 to 255, logarithmically."""
    low, high = map(math.log, limits)
    place = (np.log(np.maximum(numbers, 1e-30)) - low) / (high - low)
    return 1 + np.clip(place * 254, 0, 254).round()


def _thin(steps: List[float], values: List[float]) -> List[list]:
    """At most MAX_POINTS points of a curve, the last one among them."""
    if len(steps) > MAX_POINTS:
        places = np.linspace(0, len(steps) - 1, MAX_POINTS).round()
        chosen = places.astype(int).tolist()
        steps = [steps[i] for i in chosen]
        values = [values[i] for i in chosen]
    return [steps, [float(f'{v:.5g}') for v in values]]
