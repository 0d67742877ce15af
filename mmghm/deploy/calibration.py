"""What turns a model's logits into probabilities that mean what they say."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch

from mmghm.evaluation import reliability
from mmghm.evaluation.calibration import (
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
        loss (Any): The loss module; None if the classifier was fitted again after
            training.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Tuple[Optional[np.ndarray], str]: The prior, float64 (C,), or None; and
        how it is known.
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
    """Power of the train counts that is nearest to a prior.

    Args:
        prior (np.ndarray): Positive, (C,).
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        float: By least squares of the logarithms; 1 if all counts are equal.
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
    states.

    Args:
        prior (Optional[np.ndarray]): What the loss states, see :func:`stated_prior`.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Tuple[float, float]: Mean and standard deviation, from the models of the
        study.
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

    Args:
        loss (Any): The loss module that the model was trained with, see
            :func:`stated_prior`.
        class_counts (np.ndarray): Train images per class, (C,).
        scores (Optional[Scores]): On images that the model was neither trained
            on nor will be tested on. None fits nothing: the prior is then the one
            that the loss states.

    Returns:
        Calibration: The result.
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
