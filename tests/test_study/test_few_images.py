"""The prior from few images: what is drawn, fitted and expected."""

import json

import numpy as np
import pytest

from mmghm.deploy import calibration
from study.few_images import (
    LONG_TAILED,
    OUT,
    Logits,
    draw,
    expected,
    fit_expected,
    measure,
    powers_by_rule,
)

from ..conftest import ROOT

COUNTS = np.array([1000, 300, 100, 30])


def logits(power, images, seed=0):
    """Logits of a model whose prior is n ** power, too sure by 2."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=images)
    evidence = rng.normal(size=(images, 4))
    evidence[np.arange(images), labels] += 1.5
    return 2 * (1.5 * evidence + power * np.log(COUNTS)), labels


@pytest.fixture
def model():
    left, left_labels = logits(0.4, 4000)
    # As where the largest class trains on all its images.
    kept = left_labels != 0
    return Logits(
        left[kept], left_labels[kept], *logits(0.4, 4000, seed=1), COUNTS
    )


def test_draws_have_their_sizes(model):
    rng = np.random.default_rng(0)
    five = draw(model, 5, rng)
    assert len(set(five.tolist())) == 15
    assert np.bincount(model.left_labels[five]).tolist() == [0, 5, 5, 5]
    tail = draw(model, LONG_TAILED, rng)
    assert np.bincount(model.left_labels[tail]).tolist() == [0, 30, 10, 3]


def test_rules():
    scores, labels = logits(0.4, 3000)
    many = powers_by_rule(scores, labels, COUNTS, 0.0, (0.9, 0.1))
    for rule in ('measured', 'tested', 'shrunk'):
        assert many[rule][0] == pytest.approx(0.4, abs=0.1)
    assert many['stated'][0] == 0
    few = powers_by_rule(scores[:6], labels[:6], COUNTS, 0.4, (0.9, 0.01))
    assert few['shrunk'][0] == pytest.approx(0.9, abs=0.05)
    # Six images reject nothing.
    assert few['tested'] == few['stated']
    unknown = powers_by_rule(scores, labels, COUNTS, None, (0.5, 0.2))
    assert 'stated' not in unknown
    assert unknown['tested'] == unknown['measured']


def test_a_correction_gains_and_more_images_narrow_it(model):
    found = measure(model, 0.0, (0.5, 0.15), 5)
    sizes = found['sizes']
    many = sizes['300']['rules']['measured']['accuracy']
    assert min(many) > found['as_trained']
    widths = [
        np.std(sizes[size]['rules']['measured']['power'])
        for size in ('5', '300')
    ]
    assert widths[1] < widths[0]
    assert found['by_tau']['0.0'] == found['as_trained']


def test_what_is_expected_of_an_exponent():
    fitted = fit_expected(
        dict(a=0.3, b=0.5, c=0.9, d=0.7), dict(a=0.0, b=0.0, c=1.0, d=None)
    )
    assert fitted['kept'] == pytest.approx(0.4)
    # Errors of 0.1, 0.1 and 0.1, one degree of freedom less.
    assert fitted['kept_deviation'] == pytest.approx((0.03 / 2) ** 0.5)
    assert fitted['unstated'] == pytest.approx(0.6)
    assert expected(fitted, 0.5)[0] == pytest.approx(0.5 + 0.4 * 0.5)
    assert expected(fitted, None) == (
        fitted['unstated'],
        fitted['unstated_deviation'],
    )


def test_calibrate_expects_what_the_study_found():
    found = json.loads((ROOT / OUT).read_text())['fitted']
    for name, value in (
        ('kept', calibration.KEPT),
        ('kept_deviation', calibration.KEPT_DEVIATION),
        ('unstated', calibration.UNSTATED),
        ('unstated_deviation', calibration.UNSTATED_DEVIATION),
    ):
        assert found[name] == pytest.approx(value, abs=0.03)
