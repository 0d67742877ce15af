"""Priors and calibration, against problems whose answers are known."""

import numpy as np
import pytest
import torch

from mmghm.evaluation.calibration import (
    fit_prior,
    fit_temperature,
    log_counts,
    risk_coverage,
)
from mmghm.evaluation.priors import (
    correct_prior,
    draw_images,
    estimate_prior,
    log_softmax,
    shift_table,
    shifts,
)
from mmghm.losses import (
    GHMCWAPLoss,
    LogitAdjustedLoss,
    ReweightedCrossEntropyLoss,
    SeesawCrossEntropyLoss,
)

CENTRES = np.array([-2.0, 0.0, 1.0, 2.5])
COUNTS = np.array([1000, 200, 50, 10])


def density(x):
    """p(x|y) of four Gaussians, (n, 4)."""
    return np.exp(-((x[:, None] - CENTRES) ** 2) / 2) / np.sqrt(2 * np.pi)


def posterior(x, prior):
    joint = density(x) * prior
    return joint / joint.sum(1, keepdims=True)


def draw(prior, number, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, number, p=prior)
    return CENTRES[labels] + generator.standard_normal(number), labels


def test_reweighing_is_bayes_rule():
    x = np.linspace(-4, 4, 50)
    trained, target = COUNTS / COUNTS.sum(), np.array([0.1, 0.2, 0.0, 0.7])
    moved = np.exp(
        correct_prior(np.log(posterior(x, trained)), trained, target)
    )
    np.testing.assert_allclose(moved, posterior(x, target), atol=1e-12)


def test_the_prior_of_unlabelled_images_is_found():
    trained, target = COUNTS / COUNTS.sum(), np.array([0.05, 0.15, 0.3, 0.5])
    x, labels = draw(target, 20_000)
    found = estimate_prior(np.log(posterior(x, trained)), trained)
    there = np.bincount(labels, minlength=4) / len(labels)
    assert abs(found.sum() - 1) < 1e-9
    # Half a percent of sampling error remains; the trained prior is 0.75 off.
    assert np.abs(found - there).sum() / 2 < 0.03
    with pytest.raises(ValueError, match='no images'):
        estimate_prior(np.zeros((0, 4)), trained)


def test_shifted_sets_are_as_long_tailed_as_they_say():
    found = {s.name: s.sizes for s in shifts(np.full(4, 100), COUNTS)}
    assert list(found) == [
        *('forward 50', 'forward 10', 'forward 2', 'uniform'),
        *('backward 2', 'backward 10', 'backward 50'),
    ]
    assert found['forward 50'].tolist() == [100, 27, 7, 2]
    assert found['backward 50'].tolist() == [2, 7, 27, 100]
    assert found['uniform'].tolist() == [100] * 4
    # An uneven test set bounds the sizes; an absent class stays absent.
    sizes = shifts(np.array([10, 100, 0, 100]), COUNTS)[3].sizes
    assert sizes.tolist() == [10, 10, 0, 10]


def test_a_draw_has_the_sizes_that_are_asked_for():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], 50))
    sizes = np.array([50, 7, 0, 1])
    drawn = [draw_images(labels, sizes, seed) for seed in (0, 0, 1)]
    for chosen in drawn:
        assert len(set(chosen.tolist())) == 58
        assert np.bincount(labels[chosen]).tolist() == sizes.tolist()
    assert (drawn[0] == drawn[1]).all() and set(drawn[0]) != set(drawn[2])


def test_the_table_of_shifts_gains_most_where_the_prior_differs_most():
    trained = COUNTS / COUNTS.sum()
    x, labels = draw(np.full(4, 0.25), 8000)
    rows = shift_table(np.log(posterior(x, trained)), labels, COUNTS, trained)
    gains = {row.name: row.known[0] - row.trained[0] for row in rows}
    assert gains['backward 50'] > gains['uniform'] > gains['forward 50'] > -0.5
    assert gains['uniform'] > 10
    for row in rows:
        assert row.error[0] < 0.1
        assert abs(row.estimated[0] - row.known[0]) < 3


def test_temperature_and_prior_are_found_again():
    # Logits of a model trained toward n ** 0.4 and too sure by 2.5.
    trained = COUNTS**0.4 / (COUNTS**0.4).sum()
    x, labels = draw(np.array([0.4, 0.3, 0.2, 0.1]), 30_000)
    logits = 2.5 * np.log(posterior(x, trained))
    shift = log_counts(labels, 4) - np.log(trained)
    assert abs(fit_temperature(logits, labels, shift) - 2.5) < 0.1
    assert abs(fit_prior(logits, labels, COUNTS) - 0.4) < 0.03
    # What was known before is overruled by many images and stands with few.
    assert abs(fit_prior(logits, labels, COUNTS, 1.0, 0.1) - 0.4) < 0.03
    few = fit_prior(logits[:5], labels[:5], COUNTS, 1.0, 0.1)
    assert abs(few - 1) < 0.1
    between = fit_prior(logits[:200], labels[:200], COUNTS, 1.0, 0.1)
    assert fit_prior(logits[:200], labels[:200], COUNTS) < between < few


@pytest.mark.parametrize(
    'loss, power',
    [
        (ReweightedCrossEntropyLoss(4, 'none'), 1.0),
        (ReweightedCrossEntropyLoss(4, 'inverse'), 0.0),
        (ReweightedCrossEntropyLoss(4, 'effective_number', beta=0.99), None),
        (LogitAdjustedLoss(4), 0.0),
        (LogitAdjustedLoss(4, tau=0.3), 0.7),
        (
            GHMCWAPLoss(4, gamma=1.0, margin='balanced', intra_balance=False),
            0.0,
        ),
        (GHMCWAPLoss(4, intra_balance=False, margin='none'), 1.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_losses_train_toward_the_prior_that_they_state(loss, power):
    # A table of logits for each place x, fitted to the expected loss.
    x = np.linspace(-3, 3.5, 12)
    joint = torch.as_tensor(density(x) * COUNTS)
    if hasattr(loss, 'set_class_counts'):
        loss.set_class_counts(COUNTS)
    loss.reduction = 'none'
    loss.eval()
    logits = torch.zeros(12, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=400, line_search_fn='strong_wolfe'
    )

    def closure():
        optimizer.zero_grad()
        total = sum(
            (loss(logits.float(), torch.full((12,), y)) * joint[:, y]).sum()
            for y in range(4)
        )
        total = total / joint.sum()
        total.backward()
        return total

    optimizer.step(closure)
    stated = loss.trained_prior(torch.as_tensor(COUNTS)).numpy()
    if power is not None:
        expected = COUNTS.astype(float) ** power
        np.testing.assert_allclose(
            stated / stated.sum(), expected / expected.sum(), rtol=1e-6
        )
    found = logits.detach().softmax(1).numpy()
    np.testing.assert_allclose(found, posterior(x, stated), atol=0.01)


def test_losses_that_cannot_say_state_nothing():
    counts = torch.as_tensor(COUNTS)
    assert SeesawCrossEntropyLoss(4).trained_prior(counts) is None
    assert GHMCWAPLoss(4, margin='paper').trained_prior(counts) is None


def test_risk_and_coverage_against_counting():
    generator = np.random.default_rng(0)
    confidence = generator.integers(0, 20, 500) / 20
    correct = generator.random(500) < confidence
    curve = risk_coverage(confidence, correct, points=1000)
    for threshold, coverage, risk in zip(*curve):
        answered = confidence >= threshold
        assert coverage == answered.mean()
        assert np.isclose(risk, 1 - correct[answered].mean())
    asked = 0.8
    found = curve.threshold_for(asked)
    good = [
        t
        for t in np.unique(confidence)
        if correct[confidence >= t].mean() >= asked
    ]
    assert found == min(good)
    assert risk_coverage(confidence, correct * 0).threshold_for(0.5) == np.inf
    assert len(risk_coverage(confidence[:0], correct[:0]).risk) == 0


def test_log_softmax():
    logits = np.array([[1000.0, 0.0, -1000.0]])
    assert np.isfinite(log_softmax(logits)).all()
