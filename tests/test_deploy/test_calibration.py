import numpy as np
import pytest

from mmghm.deploy.calibration import Scores, calibrate
from mmghm.losses import LogitAdjustedLoss

COUNTS = np.array([1000, 300, 100, 30])


def scores(power, images):
    """Logits of a model whose prior is n ** power, too sure by 2."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=images)
    likelihood = rng.normal(size=(images, 4))
    likelihood[np.arange(images), labels] += 1.5
    # Of a mixture of normal distributions: evidence of each class.
    return Scores(2 * (1.5 * likelihood + power * np.log(COUNTS)), labels, 'x')


def test_the_stated_prior_stands_unless_the_images_contradict():
    # Balanced Softmax states a uniform one.
    loss = LogitAdjustedLoss(4, class_counts=COUNTS.tolist())
    kept = calibrate(loss, COUNTS, scores(0.0, 2000))
    assert kept.prior_from == 'stated by LogitAdjustedLoss'
    assert kept.trained_prior == [0.25] * 4
    assert kept.temperature == pytest.approx(2, rel=0.1)
    # A network that stopped on the way there.
    found = calibrate(loss, COUNTS, scores(0.4, 2000))
    assert found.prior_from.startswith('measured: proportional to')
    shares = COUNTS**0.4 / (COUNTS**0.4).sum()
    assert found.trained_prior == pytest.approx(shares, rel=0.1)
    assert found.temperature == pytest.approx(2, rel=0.1)
    # Eight images are too few to contradict anything.
    few = calibrate(loss, COUNTS, scores(0.1, 8))
    assert few.prior_from == 'stated by LogitAdjustedLoss'
    # Where nothing is stated they have to do.
    unknown = calibrate(None, COUNTS, scores(0.1, 8))
    assert unknown.prior_from.startswith('measured')
