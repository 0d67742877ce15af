"""What a tested model would do in use, for tables and reports."""

import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from mmghm.engine.work_dir import IN_USE_FILE, RECORD
from mmghm.evaluation.priors import shift_table

from .calibration import Calibration, group_curves


def in_use(
    log_shares: np.ndarray, labels: np.ndarray, calibration: Calibration
) -> Dict[str, Any]:
    """Measure a model under other class priors, and where it abstains.

    ``log_shares`` are log p(y|x) of the test images, temperature applied, (n, C),
    ``labels`` (n,). The model's prior must be known. Gives, ready for JSON,
    ``shifts`` (rows of :func:`shift_table`), ``prior_from``, ``temperature``,
    ``calibration`` (errors on the calibration images, by stage and group) and
    ``coverage`` (by group of the predicted class, the risk-coverage curve on the
    test images).
    """
    counts = np.array(calibration.class_counts)
    coverage = {
        group: dict(
            images=images,
            coverage=curve.coverage.round(4).tolist(),
            risk=curve.risk.round(4).tolist(),
        )
        for group, (images, curve) in group_curves(
            log_shares, labels, counts
        ).items()
    }
    rows = shift_table(
        log_shares, labels, counts, np.array(calibration.trained_prior)
    )
    return dict(
        shifts=[row._asdict() for row in rows],
        prior_from=calibration.prior_from,
        temperature=calibration.temperature,
        calibration=calibration.figures,
        fitted_on=calibration.fitted_on,
        coverage=coverage,
    )


def shift_lines(found: Dict[str, Any]) -> List[List[str]]:
    """Rows of the table of priors of :func:`in_use`, as text.

    Test set, images, top-1 as trained, with the known and with the estimated
    prior, gains in brackets, and the estimate's error.
    """
    lines = []
    for row in found['shifts']:
        base, spread = row['trained']
        cells = [
            f'{mean:.2f} ({mean - base:+.2f})'
            for mean, _ in (row['known'], row['estimated'])
        ]
        lines.append(
            [
                *(row['name'], f'{row["images"]:,}'),
                *(f'{base:.2f} ± {spread:.2f}', *cells),
                f'{row["error"][0]:.3f}',
            ]
        )
    return lines


def write_in_use(work_dir: Path, found: Dict[str, Any]) -> None:
    """Put what :func:`in_use` gives where the report looks for it."""
    folder = work_dir / RECORD
    folder.mkdir(parents=True, exist_ok=True)
    (folder / IN_USE_FILE).write_text(json.dumps(found))
