"""Does a model's score say how often it is right?"""

from typing import NamedTuple

import numpy as np

from mmghm.utils.dependencies import LazyModule

from .priors import log_softmax

optimize = LazyModule('scipy.optimize')


class Reliability(NamedTuple):
    """Points of a reliability diagram.

    Args:
        share (np.ndarray): Proportion of the images in each bin, (bins,).
        confidence (np.ndarray): Mean score in each bin, NaN if empty, (bins,).
        accuracy (np.ndarray): Share of right ones in each bin, NaN if empty,
            (bins,).
    """

    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean over images of their bins' gap of accuracy and score, 0 to 1.

        Guo et al. 2017, eq. (5).
        """
        gap = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.share * gap))


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> Reliability:
    """Sort predictions into equal bins of their score.

    Bins hold their upper edge, the first one also 0.

    Args:
        confidence (np.ndarray): Scores in [0, 1], shape (images,).
        correct (np.ndarray): Whether each was right, shape (images,).
        bins (int): How many.

    Returns:
        Reliability: Points of the diagram.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    with np.errstate(invalid='ignore'):
        mean = np.bincount(place, confidence, bins) / number
        accuracy = np.bincount(place, correct, bins) / number
    return Reliability(number / max(len(confidence), 1), mean, accuracy)


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, log_shift: np.ndarray
) -> float:
    """Fit the temperature T of ``softmax(logits / T + log_shift)``.

    Guo et al. 2017, by the likelihood of images that the model was not trained
    on. The shift says that these may have another class prior than the one
    that the model was trained toward; without it T would make up for that.

    Args:
        logits (np.ndarray): Shape (n, C).
        labels (np.ndarray): Shape (n,).
        log_shift (np.ndarray): Logarithm of the images' prior over the
            trained one, (C,); minus infinity for a class without an image.

    Returns:
        float: In [0.05, 20]; above 1 if the model is too sure.
    """

    def loss(log_t: float) -> float:
        return -log_likelihood(logits / np.exp(log_t) + log_shift, labels)

    bounds = np.log((0.05, 20))
    found = optimize.minimize_scalar(loss, bounds=bounds, method='bounded')
    return float(np.exp(found.x))


def log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean log-likelihood of the labels (n,) of images, in nats.

    Of ``softmax(logits)``, (n, C).
    """
    return float(log_softmax(logits)[np.arange(len(labels)), labels].mean())


def fit_prior(
    logits: np.ndarray,
    labels: np.ndarray,
    class_counts: np.ndarray,
    expected: float = 0.5,
    deviation: float = np.inf,
) -> float:
    """Fit the power of the train counts that a model's prior follows.

    Among priors proportional to ``n ** power`` the one under which the model, at the
    temperature that suits it, is likeliest on images that it was not trained
    on. 1 is cross-entropy's, 0 a uniform one. What is known of the power before any
    image has been seen is a normal distribution: few images shrink the power toward
    its mean, many overrule it.

    Args:
        logits (np.ndarray): Shape (n, C).
        labels (np.ndarray): Shape (n,).
        class_counts (np.ndarray): Train images per class, (C,).
        expected (float): Mean of that distribution.
        deviation (float): Its standard deviation, positive; infinite if nothing is
            known.

    Returns:
        float: The power, of the greatest posterior density.
    """
    log_sizes = np.log(np.maximum(class_counts, 1))
    log_prior = log_counts(labels, len(class_counts))

    def loss(parameters: np.ndarray) -> float:
        log_temperature, power = parameters
        shift = log_prior - power * log_sizes
        fit = log_likelihood(logits / np.exp(log_temperature) + shift, labels)
        known = ((power - expected) / deviation) ** 2 / 2
        return known / len(labels) - fit

    found = optimize.minimize(loss, (0.0, expected), method='Nelder-Mead')
    return float(found.x[1])


def log_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Logarithms of class sizes, (C,); minus infinity for an absent class."""
    with np.errstate(divide='ignore'):
        return np.log(np.bincount(labels, minlength=num_classes))


class RiskCoverage(NamedTuple):
    """How often a model is wrong if it answers only where it is surest."""

    # Scores, falling; it answers at these and above.
    threshold: np.ndarray
    # Share of the images that it then answers, and of wrong ones among these.
    coverage: np.ndarray
    risk: np.ndarray

    def threshold_for(self, precision: float) -> float:
        """The lowest score above which this share in (0, 1] of answers is right.

        Infinity if no score is high enough.
        """
        enough = np.flatnonzero(1 - np.asarray(self.risk) >= precision - 1e-12)
        return float(self.threshold[enough[-1]]) if len(enough) else np.inf


def risk_coverage(
    confidence: np.ndarray, correct: np.ndarray, points: int = 100
) -> RiskCoverage:
    """Trace the risk-coverage curve (El-Yaniv and Wiener 2010).

    From scores in [0, 1] and whether each was right, both (images,), at so many
    points at most, evenly spread. Empty without images.
    """
    order = np.argsort(-confidence, kind='stable')
    scores = confidence[order]
    number = np.arange(1, len(order) + 1)
    risk = np.cumsum(~correct[order].astype(bool)) / number
    # Images of one score are answered together.
    last = np.append(scores[1:] < scores[:-1], True)
    ends = np.flatnonzero(last[: len(order)])
    kept = np.linspace(0, len(ends) - 1, min(points, len(ends)))
    places = ends[kept.round().astype(int)]
    coverage = number / max(len(order), 1)
    return RiskCoverage(scores[places], coverage[places], risk[places])
