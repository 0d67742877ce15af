import re

import numpy as np
import pytest

from mmghm.deploy.calibration import (
    KEPT,
    UNSTATED,
    Scores,
    calibrate,
    expected_power,
    stated_power,
)
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


def power_of(calibration):
    return float(re.search(r'\^(-?[\d.]+)$', calibration.prior_from)[1])


@pytest.mark.parametrize('power', [0.0, 0.4, 0.9])
def test_many_images_say_what_the_prior_is(power):
    # Balanced Softmax states a uniform one.
    loss = LogitAdjustedLoss(4, class_counts=COUNTS.tolist())
    found = calibrate(loss, COUNTS, scores(power, 20_000))
    assert found.prior_from.startswith('measured: proportional to')
    assert power_of(found) == pytest.approx(power, abs=0.05)
    shares = COUNTS**power / (COUNTS**power).sum()
    assert found.trained_prior == pytest.approx(shares, rel=0.15)
    assert found.temperature == pytest.approx(2, rel=0.1)


def test_few_images_shrink_it_to_what_the_loss_lets_expect():
    softmax = LogitAdjustedLoss(4, tau=0.0, class_counts=COUNTS.tolist())
    balanced = LogitAdjustedLoss(4, class_counts=COUNTS.tolist())
    for loss, expected in ((softmax, 1), (balanced, KEPT), (None, UNSTATED)):
        found = power_of(calibrate(loss, COUNTS, scores(0.1, 8)))
        many = power_of(calibrate(loss, COUNTS, scores(0.1, 2000)))
        assert abs(found - expected) < 0.3 < abs(many - expected)
    # Without images the loss is believed.
    stated = calibrate(balanced, COUNTS, None)
    assert stated.prior_from == 'stated by LogitAdjustedLoss'
    assert stated.trained_prior == [0.25] * 4


def test_the_power_that_a_prior_states():
    for power in (-0.5, 0.0, 0.3, 1.0):
        prior = 7 * COUNTS.astype(float) ** power
        assert stated_power(prior, COUNTS) == pytest.approx(power)
    mean, _ = expected_power(COUNTS**0.2, COUNTS)
    assert mean == pytest.approx(0.2 + 0.8 * KEPT)
    # Counts that are all equal leave nothing to correct.
    equal = np.full(4, 5)
    assert stated_power(np.full(4, 0.25), equal) == 1
    assert calibrate(None, equal, scores(0.0, 50)).trained_prior == [0.25] * 4
