"""From the results of trials to a recommendation."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Sequence

from mmghm.evaluation.comparison import Comparison, Difference, Interval
from mmghm.evaluation.groups import QUARTILE_NAMES
from mmghm.models.posthoc import POSTHOC_METHODS

# How a classifier that was trained on the softmax run's features is called.
CLASSIFIER = 'classifier:'
REFERENCE = 'softmax'
# Of equals the first is recommended: what changes least comes first. A
# subtraction after training, then a term or a weight in the loss, then a
# second stage, then a loss with a head, a schedule or a state of its own.
_SIMPLEST = (
    *(REFERENCE, 'logit_adjustment', 'tau_norm', 'balanced_softmax'),
    *('label_smoothing', 'class_balanced', 'effective_number', 'focal'),
    *('effective_number_drw', 'ncm', 'lws', 'crt', 'class_balanced_focal'),
    *('equalization', 'seesaw', 'ldam', 'ldam_drw', 'ghm_c'),
    *('ghm_cwap_balanced', 'ghm_cwap'),
)
# Of methods that are statistically tied with the best, those within so many points are
# equals; what is further away may well be worse.
_CLOSE = 1.0
_NAMED = 8
# Beyond so many times the images at hand, more images are no advice.
_OUT_OF_REACH = 100


@dataclass
class Row:
    """One method of the answer.

    Attributes:
        method (str): Its name.
        kind (str): ``'trained'``, ``'post-hoc'`` (from the softmax run, whose
            backbone stays) or ``'classifier'`` (trained with
            another loss on the softmax run's features).
        figures (Dict[str, Interval]): By name: macro, overall, the groups,
            worst and ece; in percent.
        to_softmax (Difference): In the deciding figure.
        to_best (Difference): In the deciding figure.
        ties_with_best (bool): Whether it is statistically tied with the best.
    """

    method: str
    kind: str
    figures: Dict[str, Interval]
    to_softmax: Difference
    to_best: Difference
    ties_with_best: bool


@dataclass
class Answer:
    """What the trials say.

    Attributes:
        metric (str): The figure that decides.
        method (str): The recommended method.
        sentence (str): The recommendation with its reason.
        warnings (List[str]): What the held-out images cannot tell.
        rows (List[Row]): The methods, the best first.
        too_small (List[str]): Classes with too few held-out images.
    """

    metric: str
    method: str
    sentence: str
    warnings: List[str]
    rows: List[Row] = field(default_factory=list)
    too_small: List[str] = field(default_factory=list)

    def to_json(self) -> Dict[str, Any]:
        """Plain values for JSON: NaN and infinity are null."""
        return _plain(asdict(self))


def kind_of(method: str) -> str:
    """How a method came about, see :class:`Row`."""
    if method.startswith(CLASSIFIER):
        return 'classifier'
    return 'post-hoc' if method in POSTHOC_METHODS else 'trained'


def describe(metric: str) -> str:
    """Name a figure in words, such as "macro accuracy"."""
    group = metric.partition(':')[2]
    if group:
        return f'accuracy of the group {group!r}'
    if metric == 'worst':
        return 'accuracy of the worst class'
    return f'{metric} accuracy'


def answer(
    comparison: Comparison,
    metric: str,
    class_names: Sequence[str],
    num_seeds: int,
) -> Answer:
    """Recommend a method by the figure that decides.

    The simplest of those that are tied with the best and within a point of it;
    softmax, which must be among them, if it is tied with the best.
    """
    best, ties = comparison.best(metric), comparison.ties(metric)
    rows = [
        _row(comparison, name, metric, best, name in ties)
        for name in sorted(comparison.methods, key=lambda m: m not in ties)
    ]
    rows.sort(key=lambda row: -row.to_best.interval.value)
    by_name = {row.method: row for row in rows}

    equals = [REFERENCE]
    if REFERENCE not in ties:
        equals = [
            name
            for name in ties
            if by_name[name].to_best.interval.value > -_CLOSE
            and not by_name[name].to_softmax.is_tie
        ] or [best]
    equals.sort(key=_complexity)
    warnings = _warnings(comparison, rows, num_seeds)
    too_small = [class_names[c] for c in comparison.too_small()]
    if too_small:
        warnings.append(
            f'{len(too_small)} of {len(class_names)} classes have fewer than 5 '
            'held-out images, too few to say anything of each: '
            f'{_listed(too_small)}.'
        )
    return Answer(
        metric,
        equals[0],
        _sentence(by_name, equals, best, ties, metric, comparison),
        warnings,
        rows,
        too_small,
    )


def signed(difference: Difference) -> str:
    """Write a difference in points with its interval: ``+4.1 [2.9, 5.2]``."""
    value, low, high = difference.interval
    return f'{value:+.1f} [{low:.1f}, {high:.1f}]'


def _row(
    comparison: Comparison, method: str, metric: str, best: str, ties: bool
) -> Row:
    groups = [f'group:{group}' for group in QUARTILE_NAMES]
    figures = {
        name.rpartition(':')[2]: comparison.interval(method, name)
        for name in ('macro', 'overall', *groups, 'worst')
    }
    figures['ece'] = comparison.calibration_error(method)
    return Row(
        method,
        kind_of(method),
        figures,
        comparison.difference(method, REFERENCE, metric),
        comparison.difference(method, best, metric),
        ties,
    )


def _complexity(method: str) -> int:
    known = _SIMPLEST.index(method) if method in _SIMPLEST else len(_SIMPLEST)
    return known + 100 * method.startswith(CLASSIFIER)


def _sentence(
    rows: Dict[str, Row],
    equals: List[str],
    best: str,
    ties: List[str],
    metric: str,
    comparison: Comparison,
) -> str:
    images, what = comparison.held_out.sum(), describe(metric)
    method = equals[0]
    gain = signed(rows[method].to_softmax)
    if len(rows) == 1:
        return 'Only softmax was tried: there is nothing to compare it with.'
    if method == REFERENCE == best and len(ties) == 1:
        return (
            f'Stay with softmax: it has the best {what} of all methods tried.'
        )
    if method == REFERENCE:
        top = best if best != REFERENCE else next(t for t in ties if t != best)
        return (
            f'Stay with softmax: on {images:,} held-out images it is tied with '
            f'the best in {what} ({top}, {signed(rows[top].to_softmax)} points).'
        )
    if len(equals) > 1:
        return (
            f'{_listed(equals, 4)} tie in {what}; take {method}, the simplest: '
            f'{gain} points over softmax.'
        )
    rest = (
        'and better than every other method tried'
        if len(ties) == 1
        else f'though {len(ties) - 1} other{"s are" if len(ties) > 2 else " is"} '
        'statistically tied with it'
    )
    return f'Take {method}: {gain} points of {what} over softmax, {rest}.'


def _warnings(
    comparison: Comparison, rows: List[Row], num_seeds: int
) -> List[str]:
    found = []
    if num_seeds == 1:
        found.append(
            'One seed: the intervals hold the spread between images, not that '
            'between runs.'
        )
    best, *tied = [row for row in rows if row.ties_with_best]
    if tied:
        second, images = tied[0], int(comparison.held_out.sum())
        needed = second.to_best.images_needed
        enough = (
            f'about {_round(needed):,} would separate them'
            if needed < _OUT_OF_REACH * images
            else 'no number within reach would separate them'
        )
        found.append(
            f'On {images:,} held-out images {best.method} and '
            f'{second.method} are statistically tied ({abs(second.to_best.interval.value):.2f} points, '
            f'real with a probability of {second.to_best.probability:.0%}); '
            f'{enough}.'
        )
    return found


def _round(number: float) -> int:
    """Two digits."""
    scale = 10 ** max(int(math.log10(max(number, 1))) - 1, 0)
    return int(math.ceil(number / scale) * scale)


def _listed(names: Sequence[str], most: int = _NAMED) -> str:
    *first, last = names
    if len(names) > most:
        return f'{", ".join(names[:most])} and {len(names) - most} others'
    return f'{", ".join(first)} and {last}' if first else last


def _plain(value: Any) -> Any:
    if hasattr(value, '_asdict'):
        value = value._asdict()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
