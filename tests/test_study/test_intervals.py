"""Means, intervals and which differences are established."""

import pytest
from scipy.stats import ttest_1samp

from study.intervals import estimate, holm, verdicts


@pytest.mark.parametrize(
    'values', [[0.38, 0.27, 0.48], [1, -2, 3, 4.5], [5, 7]]
)
def test_the_interval_and_p_are_students(values):
    found, told = estimate(values), ttest_1samp(values, 0)
    assert found.p == pytest.approx(told.pvalue)
    assert (found.low, found.high) == pytest.approx(told.confidence_interval())
    assert found.number == len(values)


def test_divisions_of_the_same_images_widen_the_interval():
    """Nadeau and Bengio 2003: the variance times 1 / J + test over train."""
    values = [0.38, 0.27, 0.48, 0.1]
    alone, found = estimate(values), estimate(values, overlap=0.5)
    assert found.high - found.mean == pytest.approx(
        (alone.high - alone.mean) * ((1 / 4 + 0.5) / (1 / 4)) ** 0.5
    )
    assert found.p > alone.p


def test_what_has_no_spread():
    alone = estimate([3.0])
    assert (alone.mean, alone.low, alone.p) == (3, None, None)
    assert alone.text() == '3.00'
    assert estimate([0.0, 0.0]).p == 1 and estimate([2.0, 2.0]).p == 0
    assert estimate([2.0, 2.0]).text('+.1f') == '+2.0 [+2.0, +2.0]'


def test_holm():
    # Holm 1979: the smallest times 4, the next times 3, never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert holm([0.6, 0.9]) == [1, 1] and holm([]) == []


def test_verdicts_are_corrected_for_the_table():
    # p = 0.025: established alone, not as one of three.
    near, far = estimate([0.38, 0.27, 0.48]), estimate([-9.0, -9.1, -9.2])
    assert verdicts([near]) == ['gain']
    wide = estimate([1, -1, 0.5])
    assert verdicts([near, wide, wide]) == ['tied'] * 3
    assert verdicts([near, far, estimate([1.0])]) == ['gain', 'loss', '']
