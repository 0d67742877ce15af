"""Predictions of many images, from files to a file."""

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import numpy as np
from mmengine.fileio import list_from_file

from mmghm.evaluation.calibration import RiskCoverage
from mmghm.evaluation.priors import (
    correct_prior,
    estimate_prior,
    log_softmax,
    normalize_counts,
)
from mmghm.utils.errors import UserError

from .calibration import Calibration
from .images import Found, ImageReader, read_images
from .load import DeployedModel
from .prediction_writer import PredictionWriter, shown

PRIORS = ('uniform', 'train', 'estimate')


def known_prior(
    calibration: Calibration, given: str, classes: Optional[List[str]] = None
) -> np.ndarray:
    """Class prior to correct predictions to, float64 (C,), sum 1.

    ``given`` is ``'uniform'``, ``'train'``, or a file with one non-negative
    number per class and line, shares or counts, in the order of the classes or
    as ``name,proportion``, which takes the names of the C classes. A UserError says
    that the model's own prior is not known, or the file does not fit.
    """
    counts = np.array(calibration.class_counts)
    if calibration.trained_prior is None:
        raise UserError(
            '--prior needs the prior that the model was trained toward, and '
            f'{calibration.prior_from}; publish it with calibration images, '
            'which measure it'
        )
    if given == 'uniform':
        return np.full(len(counts), 1 / len(counts))
    if given == 'train':
        return normalize_counts(counts)
    try:
        lines = [line for line in list_from_file(given) if line.strip()]
        if all(',' in line for line in lines):
            lines = _by_name(given, lines, classes or [])
        prior = np.array([float(line) for line in lines])
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f'--prior takes uniform, train, estimate or a file with a number a '
            f'line, got {given}: {error}'
        ) from error
    fits = len(prior) == len(counts) and np.isfinite(prior).all()
    if not (fits and prior.min() >= 0 and 0 < prior.sum() < np.inf):
        raise UserError(
            f'{given} must hold {len(counts)} numbers of at least 0, one per '
            f'class and line, got {len(prior)}'
        )
    return prior / prior.sum()


def _by_name(path: str, lines: List[str], classes: List[str]) -> List[str]:
    """Order lines of ``name,proportion`` as the classes are."""
    shares = dict(line.rsplit(',', 1) for line in lines)
    wrong = sorted(set(shares) ^ set(classes))
    if wrong or len(shares) != len(lines):
        raise UserError(
            f'{path} must name each of the {len(classes)} classes once'
            + (f'; see {", ".join(map(repr, wrong[:3]))}' if wrong else '')
        )
    return [shares[name] for name in classes]


def row_columns(top: int) -> Dict[str, type]:
    """Types of the predictions' columns by name, for ``top`` classes an image."""
    columns: Dict[str, type] = dict(path=str, label=str, probability=float)
    for place in range(2, top + 1):
        columns.update({f'label_{place}': str, f'probability_{place}': float})
    return {**columns, 'group': str, 'abstained': bool, 'error': str}


def prediction_rows(
    model: DeployedModel,
    prior: Optional[np.ndarray],
    top: int,
    thresholds: Dict[str, float],
    paths: List[str],
    errors: List[str],
    logits: np.ndarray,
) -> List[Dict[str, Any]]:
    """Make rows, see :func:`row_columns`, of logits (n, C), of ``top`` classes each.

    Predictions are corrected to a prior, (C,); None leaves them. Those below the
    threshold of the predicted class's group are abstained from. ``errors`` say
    why an image could not be read, or nothing; its logits may then be any.
    """
    shares = log_softmax(
        logits.astype(np.float64) / model.calibration.temperature
    )
    if prior is not None:
        trained = np.array(model.calibration.trained_prior)
        shares = correct_prior(shares, trained, prior)
    best = np.argsort(-shares, axis=1, kind='stable')[:, :top]
    chances = np.exp(np.take_along_axis(shares, best, axis=1))
    rows: List[Dict[str, Any]] = []
    for path, error, classes, values in zip(
        paths, errors, best.tolist(), chances.tolist()
    ):
        if error:
            rows.append(dict(path=shown(path), error=shown(error)))
            continue
        row: Dict[str, Any] = dict(path=shown(path))
        for place, (number, value) in enumerate(zip(classes, values), 1):
            suffix = f'_{place}' if place > 1 else ''
            row[f'label{suffix}'] = model.classes[number]
            row[f'probability{suffix}'] = round(value, 6)
        group = model.groups[classes[0]]
        low = thresholds.get(group, 0.0)
        rows.append(dict(row, group=group, abstained=values[0] < low))
    return rows


def abstention(
    model: DeployedModel, below: Optional[float], precision: Optional[float]
) -> Dict[str, float]:
    """Thresholds by group; empty if nothing is asked for.

    Either one for all of them, or those that give a share of right answers, the
    ``precision``, on the calibration images. A UserError says that the model has
    no such images.
    """
    if below is not None:
        return dict.fromkeys(model.groups, below)
    if precision is None:
        return {}
    answers = model.calibration.answers
    if not answers:
        raise UserError(
            f'--precision needs calibration images, and {model.name} was '
            'published without; publish it with --calibrate-on, or give '
            '--abstain-below'
        )
    return {
        group: RiskCoverage(
            *(np.array(curve[field]) for field in RiskCoverage._fields)
        ).threshold_for(precision)
        for group, curve in answers.items()
    }


def predict(
    model: DeployedModel,
    images: Callable[[], Iterable[Found]],
    journal: PredictionWriter,
    prior: Optional[str],
    top: int,
    thresholds: Dict[str, float],
    batch_size: int,
    num_workers: int,
    advance: Callable[[int], None],
) -> Optional[np.ndarray]:
    """Predict images, and leave the rows in the journal.

    ``images`` gives the images, the same at each call unless they come from
    standard input. ``prior`` is one of :func:`known_prior`, ``'estimate'`` or
    None, ``thresholds`` are those of :func:`abstention`. ``advance`` is told how
    many more images are done. Gives the prior that predictions were moved to.
    """
    target = None
    if prior is not None and prior != 'estimate':
        target = known_prior(model.calibration, prior, model.classes)
    every = iter(images())
    if journal.num_done:
        advance(journal.num_done)
        journal.check_order(shown(found.path) for found in every)
    reader = ImageReader(model.steps)
    for batch in read_images(every, reader, batch_size, num_workers):
        logits = batch.logits(model.logits, len(model.classes))
        if prior == 'estimate':
            rows = [
                dict(path=shown(path), error=shown(error))
                for path, error in zip(batch.paths, batch.errors)
            ]
            journal.append(rows, logits)
        else:
            found = (batch.paths, batch.errors, logits)
            journal.append(
                prediction_rows(model, target, top, thresholds, *found)
            )
        advance(len(batch.paths))
    return target


def estimated_rows(
    model: DeployedModel,
    journal: PredictionWriter,
    top: int,
    thresholds: Dict[str, float],
) -> Iterator[Any]:
    """Estimate the prior of the images in a journal, and make their rows.

    First comes the prior, (C,), then the rows. A UserError says that no image
    could be read.
    """
    logits = journal.logits()
    read = np.array([not row.get('error') for row in journal.rows()], bool)
    if not read.any():
        raise UserError('no image could be read, so no prior be estimated')
    calibration = model.calibration
    prior = estimate_prior(
        _LogShares(logits, np.flatnonzero(read), calibration.temperature),
        np.array(calibration.trained_prior),
    )
    yield prior
    rows = journal.rows()
    for start in range(0, len(logits), 1024):
        part = list(islice(rows, 1024))
        yield from prediction_rows(
            *(model, prior, top, thresholds),
            [row['path'] for row in part],
            [row['error'] for row in part],
            logits[start : start + len(part)],
        )


class _LogShares:
    """Logarithms of shares, computed from logits on disk as they are read."""

    def __init__(
        self, logits: np.ndarray, rows: np.ndarray, temperature: float
    ) -> None:
        self.logits, self.rows, self.temperature = logits, rows, temperature

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        return log_softmax(
            self.logits[self.rows[part]].astype(np.float64) / self.temperature
        )


def fingerprint(model: DeployedModel, **options: Any) -> Dict[str, Any]:
    """What makes one run's predictions another's, for the head of a journal.

    ``options`` are those that change rows.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps([model.classes, model.steps]).encode())
    digest.update(json.dumps(model.calibration.__dict__).encode())
    if model.network is not None:
        for name, value in model.network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.float().cpu().numpy().tobytes())
    else:
        digest.update(Path(model.name).read_bytes())
    return dict(model=digest.hexdigest()[:16], **options)
