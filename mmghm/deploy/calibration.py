"""What turns a model's logits into probabilities that mean what they say."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch

from mmghm.evaluation import reliability
from mmghm.evaluation.calibration import (
    RiskCoverage,
    fit_prior,
    fit_temperature,
    log_counts,
    risk_coverage,
)
from mmghm.evaluation.groups import group_names
from mmghm.evaluation.priors import correct_prior, log_softmax, normalize_counts

GROUP_RULE = 'quartile'
# What a network is expected to keep of the class proportions that its loss's formula
# takes out of it, as a share of their power, and the deviation from that; the same for
# losses whose formula says nothing. Fitted on the models of study/few_images.py.
KEPT, KEPT_DEVIATION = 0.5, 0.15
UNSTATED, UNSTATED_DEVIATION = 0.65, 0.25


class Scores(NamedTuple):
    """Logits (n, C) of a model on labelled images, labels (n,), and what images."""

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
    """Class prior that a loss module says it trains toward, and how it is known.

    The loss is None if the classifier was fitted again after training. With C
    train images per class, the prior is float64 (C,); None if nothing says it.
    """
    if loss is None:
        return None, 'its classifier was fitted again after training'
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


def stated_power(prior: np.ndarray, class_counts: np.ndarray) -> float:
    """Power of the train counts that is nearest to a positive prior, (C,).

    By least squares of the logarithms; 1 if all counts are equal.
    """
    log_sizes = np.log(np.maximum(class_counts, 1))
    centred = log_sizes - log_sizes.mean()
    square = float(centred @ centred)
    return float(centred @ np.log(prior)) / square if square else 1.0


def expected_power(
    prior: Optional[np.ndarray], class_counts: np.ndarray
) -> Tuple[float, float]:
    """Power of the train counts that a model's prior is expected to follow.

    A network that fits its train set stops on the way to the prior that its loss
    states, see :func:`stated_prior`. Gives mean and standard deviation, from the
    models of the study.
    """
    if prior is None:
        return UNSTATED, UNSTATED_DEVIATION
    stated = stated_power(prior, class_counts)
    return stated + KEPT * (1 - stated), KEPT_DEVIATION


def calibrate(
    loss: Any, class_counts: np.ndarray, scores: Optional[Scores]
) -> Calibration:
    """Fit the temperature and the prior that the model has in fact.

    The prior is a power of the train counts. Its likelihood on the images is joined
    with what the loss lets expect, see :func:`expected_power`: with few images the
    expectation decides, with many the measurement.

    ``loss`` is as :func:`stated_prior` takes it, ``class_counts`` the train images
    per class, (C,). ``scores`` are of images that the model was not trained on.
    None fits nothing: the prior is then the one that the loss states.
    """
    prior, known = stated_prior(loss, class_counts)
    counts = class_counts.tolist()
    if scores is None:
        told = None if prior is None else prior.tolist()
        return Calibration(1.0, counts, told, known)
    logits, labels = scores.logits, scores.labels
    power = fit_prior(
        logits, labels, class_counts, *expected_power(prior, class_counts)
    )
    prior = normalize_counts(class_counts) ** power
    prior /= prior.sum()
    known = f'measured: proportional to (train images)^{power:.2f}'
    log_shift = log_counts(labels, len(prior)) - np.log(prior)
    temperature = fit_temperature(logits, labels, log_shift)
    here = np.bincount(labels, minlength=len(class_counts)) / len(labels)
    before, after = log_softmax(logits), log_softmax(logits / temperature)
    stages = {
        'as trained': before,
        'with temperature': after,
        'with temperature, re-weighed': correct_prior(after, prior, here),
    }
    curves = group_curves(after, labels, class_counts)
    del curves['all']
    return Calibration(
        temperature,
        counts,
        prior.tolist(),
        known,
        f'{scores.what}, {len(labels):,} images',
        {
            name: _errors(shares, labels, class_counts)
            for name, shares in stages.items()
        },
        {
            group: dict(
                images=images,
                **{k: v.round(5).tolist() for k, v in curve._asdict().items()},
            )
            for group, (images, curve) in curves.items()
        },
    )


def group_curves(
    log_shares: np.ndarray, labels: np.ndarray, class_counts: np.ndarray
) -> Dict[str, Tuple[int, RiskCoverage]]:
    """Images and risk-coverage curve by group of the predicted class.

    ``'all'`` comes first. ``log_shares`` are log p(y|x), (n, C), ``labels`` (n,),
    ``class_counts`` the train images per class, (C,).
    """
    predicted = log_shares.argmax(axis=1)
    confidence, right = np.exp(log_shares.max(axis=1)), predicted == labels
    return {
        name: (
            int(chosen.sum()),
            risk_coverage(confidence[chosen], right[chosen]),
        )
        for name, chosen in _by_group(predicted, class_counts).items()
    }


def _by_group(
    classes: np.ndarray, class_counts: np.ndarray
) -> Dict[str, np.ndarray]:
    """Which images, by their classes, are of all groups, and of each."""
    groups = np.array(group_names(class_counts, GROUP_RULE))
    return {
        'all': np.ones(len(classes), dtype=bool),
        **{g: groups[classes] == g for g in dict.fromkeys(groups.tolist())},
    }


def _errors(
    log_shares: np.ndarray, labels: np.ndarray, class_counts: np.ndarray
) -> Dict[str, float]:
    """Expected calibration error of all images and of each group's."""
    confidence = np.exp(log_shares.max(axis=1))
    right = log_shares.argmax(axis=1) == labels
    return {
        name: round(
            reliability(
                confidence[chosen], right[chosen]
            ).expected_calibration_error,
            5,
        )
        for name, chosen in _by_group(labels, class_counts).items()
        if chosen.any()
    }
