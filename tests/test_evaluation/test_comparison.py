"""Intervals and differences, against simulations with known answers."""

import numpy as np
import pytest

from mmghm.evaluation.comparison import Comparison

COUNTS = np.array([1000, 400, 150, 60, 25, 10])
# Held-out images of a fifth.
LABELS = np.repeat(np.arange(6), COUNTS // 5)
TRUTH = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.2])


def simulate(generator, gain=0.0, seeds=3):
    """Two methods whose chances differ by class, images shared."""
    chance = TRUTH[LABELS]
    # An image's difficulty is the same for both; seeds add their own noise.
    hard = generator.random(len(LABELS))
    found = {}
    for name, more in (('a', 0.0), ('b', gain)):
        noise = generator.normal(0, 0.03, (seeds, 1))
        found[name] = hard < chance + more + noise
    return found


def test_figures_are_those_of_counting():
    found = simulate(np.random.default_rng(0), 0.1)
    compared = Comparison(found, LABELS, COUNTS, draws=50)
    by_class = np.array([found['a'][:, c == LABELS].mean() for c in range(6)])
    expected = {
        'macro': by_class.mean(),
        'overall': found['a'].mean(),
        'worst': by_class.min(),
        'group:many': by_class[:2].mean(),
        'group:rare': by_class[5],
    }
    for metric, value in expected.items():
        interval = compared.interval('a', metric)
        assert np.isclose(interval.value, 100 * value)
        assert interval.low <= interval.high
        difference = compared.difference('b', 'a', metric).interval
        assert np.isclose(
            difference.value, compared.interval('b', metric).value - 100 * value
        )
    assert compared.best('overall') == 'b'
    assert compared.too_small() == [5]


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(60):
        found = simulate(np.random.default_rng(seed), 0.0, seeds=5)
        compared = Comparison(found, LABELS, COUNTS, draws=400)
        low, high = compared.interval('a', 'overall')[1:]
        truth = 100 * TRUTH[LABELS].mean()
        held += low <= truth <= high
    # 95 % of 60 is 57; few seeds make a bootstrap a little too sure.
    assert held >= 48


def test_a_real_difference_is_told_and_none_is_not():
    told = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        far = Comparison(simulate(generator, 0.15), LABELS, COUNTS, draws=400)
        difference = far.difference('b', 'a', 'overall')
        told += not difference.is_tie and difference.probability > 0.97
        assert far.ties('overall') in (['b'], ['a', 'b'])
    assert told >= 18
    found = simulate(np.random.default_rng(1))
    same = Comparison(
        {'a': found['a'], 'b': found['a'].copy()}, LABELS, COUNTS, draws=200
    )
    difference = same.difference('b', 'a', 'macro')
    assert difference.is_tie and difference.probability == 0.5
    assert difference.images_needed == np.inf
    assert same.ties('macro') == ['a', 'b']


def test_more_images_are_needed_for_smaller_differences():
    generator = np.random.default_rng(3)
    needed = []
    for gain in (0.2, 0.05):
        compared = Comparison(
            simulate(generator, gain), LABELS, COUNTS, draws=500
        )
        needed.append(compared.difference('b', 'a', 'overall').images_needed)
    assert needed[0] < len(LABELS) < 5 * needed[1]
    assert needed[1] > 3 * needed[0]


def test_bad_arguments_are_named():
    found = simulate(np.random.default_rng(0))
    with pytest.raises(ValueError, match='same images and seeds'):
        Comparison({'a': found['a'], 'b': found['b'][:1]}, LABELS, COUNTS)
    with pytest.raises(ValueError, match='at least one image'):
        Comparison({'a': np.zeros((1, 0), bool)}, LABELS[:0], COUNTS)
    compared = Comparison(found, LABELS, COUNTS, draws=10)
    with pytest.raises(ValueError, match='one of macro, overall, worst'):
        compared.interval('a', 'rare')
