"""What the trials found, put together."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from mmghm.evaluation.comparison import Comparison
from mmghm.models.posthoc import POSTHOC_METHODS, TAUS
from mmghm.utils.errors import UserError
from mmghm.visualization.comparison import ends

from .answer import CLASSIFIER
from .plan import Plan


class Results(NamedTuple):
    """Results of a plan.

    Args:
        comparison (Comparison): All methods that have a result of each seed.
        curves (Dict[str, np.ndarray]): Accuracy in percent of head and tail
            for each tau of a method, mean over seeds, (taus, 2).
        taus (Dict[str, float]): The tau of a method, median over seeds.
        seconds (Dict[str, float]): Of a run, mean over seeds, by method.
    """

    comparison: Comparison
    curves: Dict[str, np.ndarray]
    taus: Dict[str, float]
    seconds: Dict[str, float]


def gather(
    plan: Plan, losses: Sequence[str], class_counts: np.ndarray
) -> Results:
    """Read the results of a plan.

    Args:
        plan (Plan): The plan; softmax has a result of each seed.
        losses (Sequence[str]): Those that classifiers were trained with.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Results: The results; a method that lacks one is left out.
    """
    seeds = range(plan.seeds)
    jobs = {m: [plan.trial(m, s) for s in seeds] for m in plan.methods}
    jobs.update(
        {
            f'{CLASSIFIER}{loss}': [plan.classifier(loss, s) for s in seeds]
            for loss in losses
        }
    )
    found: Dict[str, List[Dict[str, np.ndarray]]] = {
        method: [_read(job.out) for job in of_seeds]
        for method, of_seeds in jobs.items()
        if all(job.out.exists() for job in of_seeds)
    }
    labels = found[plan.methods[0]][0]['labels']
    for method, of_seeds in found.items():
        if not all(np.array_equal(one['labels'], labels) for one in of_seeds):
            raise UserError(
                f'{plan.out} holds results of {method} on other images; choose '
                'another --out'
            )
    seconds = {
        method: float(np.mean([one['seconds'] for one in of_seeds]))
        for method, of_seeds in found.items()
    }
    posthoc = [_read(plan.posthoc(seed).out) for seed in seeds]
    for method in POSTHOC_METHODS:
        found[method] = [
            {k: one[f'{method}.{k}'] for k in ('predicted', 'confidence')}
            for one in posthoc
        ]
    comparison = Comparison(
        {m: _stacked(f, 'predicted') == labels for m, f in found.items()},
        labels,
        class_counts,
        {m: _stacked(f, 'confidence') for m, f in found.items()},
    )
    curves, taus = {}, {}
    for method in TAUS:
        taus[method] = float(np.median([r[f'{method}.tau'] for r in posthoc]))
        right = np.mean(
            [one[f'{method}.curve'] == labels for one in posthoc], axis=0
        )
        curves[method] = comparison.at(right, ends(comparison))
    return Results(comparison, curves, taus, seconds)


def _read(path: Path) -> Dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def _stacked(of_seeds: List[Dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.stack([one[name] for one in of_seeds])
