"""Does a model's score say how often it is right?"""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Points of a reliability diagram.

    Args:
        share (np.ndarray): Share of the images in each bin, (bins,).
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
