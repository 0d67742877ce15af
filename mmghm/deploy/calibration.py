"""What turns a model's logits into probabilities that mean what they say."""

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch

from mmghm.evaluation import reliability
from mmghm.evaluation.calibration import (
    fit_prior,
    fit_temperature,
    log_counts,
    log_likelihood,
    risk_coverage,
)
from mmghm.evaluation.groups import group_names
from mmghm.evaluation.priors import correct_prior, log_softmax, normalize_counts

GROUP_RULE = 'quartile'
# Gain of log-likelihood by one more parameter that is chance in 5 % of cases:
# half of that quantile of chi-squared, the square of a normal variable.
_CONTRADICTION = NormalDist().inv_cdf(0.975) ** 2 / 2


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
        loss (Any): The loss module; None if the classifier was made anew after
            training.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Tuple[Optional[np.ndarray], str]: The prior, float64 (C,), or None; and
        how it is known.
    """
    if loss is None:
        return None, 'its classifier was made anew after training'
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


def calibrate(
    loss: Any, class_counts: np.ndarray, scores: Optional[Scores]
) -> Calibration:
    """Fit the temperature and the prior that the model has in fact.

    A loss states the prior that it trains toward. A network that fits its train
    set may stop on the way: the prior is then measured, if the images say so by a
    likelihood-ratio test at the 5 % level.

    Args:
        loss (Any): The loss module that the model was trained with, see
            :func:`stated_prior`.
        class_counts (np.ndarray): Train images per class, (C,).
        scores (Optional[Scores]): On images that the model was neither trained
            on nor will be tested on. None fits nothing.

    Returns:
        Calibration: The result.
    """
    prior, known = stated_prior(loss, class_counts)
    counts = class_counts.tolist()
    if scores is None:
        told = None if prior is None else prior.tolist()
        return Calibration(1.0, counts, told, known)
    logits, labels = scores.logits, scores.labels
    power = fit_prior(logits, labels, class_counts)
    measured = normalize_counts(class_counts) ** power
    measured /= measured.sum()
    temperature, fit = _fit_temperature(logits, labels, measured)
    if prior is not None:
        stated_temperature, stated_fit = _fit_temperature(logits, labels, prior)
    if prior is None or fit - stated_fit > _CONTRADICTION / len(labels):
        prior = measured
        known = f'measured: proportional to (train images)^{power:.2f}'
    else:
        temperature = stated_temperature
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


def _fit_temperature(
    logits: np.ndarray, labels: np.ndarray, prior: np.ndarray
) -> Tuple[float, float]:
    """Temperature under a trained prior, and the mean log-likelihood with it."""
    log_shift = log_counts(labels, len(prior)) - np.log(prior)
    temperature = fit_temperature(logits, labels, log_shift)
    return temperature, log_likelihood(logits / temperature + log_shift, labels)


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
