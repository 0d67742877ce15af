"""What the trials found, put together."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from mmghm.evaluation.comparison import Comparison
from mmghm.features.training import FACTORS
from mmghm.models.posthoc import POSTHOC_METHODS, TAUS
from mmghm.utils.errors import UserError
from mmghm.visualization.comparison import ends

from .answer import CLASSIFIER, REFERENCE, Answer
from .plan import Plan

# In percent, and as a factor: what softmax hardly has after a sound training.
_LARGE_ERROR = 15.0
_LARGE_TEMPERATURE = 4.0
# What methods with deferred re-weighting are until it begins.
_DEFERRED = {'ldam_drw': 'ldam', 'effective_number_drw': 'softmax'}


class Results(NamedTuple):
    """Results of a plan.

    Args:
        comparison (Comparison): All methods that have a result of each seed.
        curves (Dict[str, np.ndarray]): Accuracy in percent of head and tail
            for each tau of a method, mean over seeds, (taus, 2).
        taus (Dict[str, float]): The tau of a method, median over seeds.
        seconds (Dict[str, float]): Of a run, mean over seeds.
        factors (Dict[str, float]): Of the learning rate, median over seeds.
        by_factor (Dict[str, np.ndarray]): Whether an image was right with each
            factor, mean over seeds, (factors, images); of those that several
            were tried for.
        temperature (float): That softmax's scores ask for, mean over seeds.
        not_deferred (List[Tuple[str, str]]): Methods with deferred
            re-weighting that predict as the method which they begin as.
    """

    comparison: Comparison
    curves: Dict[str, np.ndarray]
    taus: Dict[str, float]
    seconds: Dict[str, float]
    factors: Dict[str, float]
    by_factor: Dict[str, np.ndarray]
    temperature: float
    not_deferred: List[Tuple[str, str]]


def gather(
    plan: Plan, losses: Sequence[str], class_counts: np.ndarray
) -> Results:
    """Read the results of a plan; a method that lacks one is left out.

    Softmax has a result of each seed. Classifiers were trained with ``losses``;
    ``class_counts`` are the train images per class, (C,).
    """
    seeds = range(plan.seeds)
    jobs = {
        **{m: [plan.trial(m, s) for s in seeds] for m in plan.methods},
        **{
            f'{CLASSIFIER}{loss}': [plan.classifier(loss, s) for s in seeds]
            for loss in losses
        },
    }
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
    seconds, factors = (
        {m: float(of([one[name] for one in f])) for m, f in found.items()}
        for name, of in (('seconds', np.mean), ('factor', np.median))
    )
    by_factor = {
        method: np.mean([one['of_factor'] == labels for one in of_seeds], 0)
        for method, of_seeds in found.items()
        if len(of_seeds[0]['of_factor']) > 1
    }
    temperature = np.mean([one['temperature'] for one in found[REFERENCE]])
    not_deferred = [
        (method, base)
        for method, base in _DEFERRED.items()
        if {method, base} <= set(found)
        and np.array_equal(
            _stacked(found[method], 'predicted'),
            _stacked(found[base], 'predicted'),
        )
    ]
    outs = [plan.posthoc(seed).out for seed in seeds]
    posthoc = (
        [_read(out) for out in outs] if all(o.exists() for o in outs) else []
    )
    for method in POSTHOC_METHODS if posthoc else ():
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
    for method in TAUS if posthoc else ():
        taus[method] = float(np.median([r[f'{method}.tau'] for r in posthoc]))
        right = np.mean(
            [one[f'{method}.curve'] == labels for one in posthoc], axis=0
        )
        curves[method] = comparison.at(right, ends(comparison))
    return Results(
        *(comparison, curves, taus, seconds, factors, by_factor),
        *(float(temperature), not_deferred),
    )


def doubts(results: Results, found: Answer) -> List[str]:
    """Signs, in words, that an answer hangs on a poor recipe."""
    warnings = []
    comparison = results.comparison
    error = comparison.calibration_error(REFERENCE).value
    if error > _LARGE_ERROR:
        warnings.append(
            f'Softmax has an expected calibration error of {error:.0f} %: its '
            'recipe may be too short, too long, or its learning rate wrong.'
        )
    if results.temperature > _LARGE_TEMPERATURE:
        warnings.append(
            f"Softmax's scores ask for a temperature of "
            f'{results.temperature:.1f}: it overfits, or its learning rate is '
            'too high.'
        )
    warnings += [
        f'{method} predicts as {base}: the run is too short for its '
        're-weighting to begin.'
        for method, base in results.not_deferred
    ]
    tied = {row.method for row in found.rows if row.ties_with_best}
    figures = {
        method: comparison.at(right, [found.metric])[:, 0]
        for method, right in results.by_factor.items()
    }
    if REFERENCE in figures:
        for place, factor in enumerate(FACTORS):
            best = max(figures, key=lambda method: figures[method][place])
            if best not in tied:
                warnings.append(
                    'The answer depends on the learning rate: with '
                    f'{factor:.3g} times that of the recipe {best} would come '
                    'first.'
                )
    return warnings


def _read(path: Path) -> Dict[str, np.ndarray]:
    with np.load(path) as found:
        return dict(found)


def _stacked(of_seeds: List[Dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.stack([one[name] for one in of_seeds])
