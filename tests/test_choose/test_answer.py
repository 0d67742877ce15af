"""The recommendation, from predictions whose quality is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmghm.choose.answer import Answer, answer, describe, kind_of, signed
from mmghm.choose.page import columns, render
from mmghm.choose.results import Results, doubts
from mmghm.choose.trial import cross_fitted
from mmghm.datasets.subsets import split_held_out
from mmghm.evaluation.comparison import Comparison
from mmghm.visualization.comparison import draw_gains, draw_trade_off

COUNTS = np.array([2000, 1000, 500, 250, 120, 60, 30, 15])
NAMES = [f'kind <{n}>' for n in range(8)]


def compare(images=60, seeds=3, **gains):
    """Methods of a chance of 60 % and their gains in points."""
    labels = np.repeat(np.arange(8), images)
    generator = np.random.default_rng(0)
    hard = generator.random(len(labels))
    correct, confidence = {}, {}
    for name, gain in gains.items():
        own = generator.random((seeds, len(labels)))
        # A tenth of the images turn out by chance in each run.
        drawn = np.where(own < 0.1, own * 10, hard)
        correct[name.replace('__', ':')] = drawn < 0.6 + gain / 100
        confidence[name.replace('__', ':')] = np.full(drawn.shape, 0.6)
    return Comparison(correct, labels, COUNTS, confidence, draws=300)


def test_a_clear_winner():
    found = answer(compare(softmax=0, seesaw=4, ghm_cwap=20), 'macro', NAMES, 3)
    assert found.method == 'ghm_cwap'
    assert found.sentence.startswith('Take ghm_cwap: +')
    assert 'better than every other method tried' in found.sentence
    assert [row.method for row in found.rows] == [
        *('ghm_cwap', 'seesaw', 'softmax')
    ]
    assert not found.warnings and not found.too_small
    assert [row.ties_with_best for row in found.rows] == [True, False, False]


def test_of_equals_the_simplest_is_taken():
    found = answer(
        compare(
            softmax=0, classifier__focal=20.5, ghm_cwap=20, balanced_softmax=20
        ),
        'macro',
        NAMES,
        3,
    )
    assert found.method == 'balanced_softmax'
    assert (
        'balanced_softmax, ghm_cwap and classifier:focal tie in macro accuracy; '
        'take balanced_softmax, the simplest: +'
    ) in found.sentence
    (warning,) = found.warnings
    assert 'On 480 held-out images' in warning


def test_the_simplest_does_not_win_from_afar():
    # Too few images to tell them apart: the better one is the better guess.
    found = answer(
        compare(images=12, softmax=0, tau_norm=28, ghm_cwap=30),
        'macro',
        NAMES,
        3,
    )
    assert found.method == 'ghm_cwap'
    assert 'though 1 other is statistically tied with it' in found.sentence


def test_softmax_stays_where_nothing_is_better():
    found = answer(compare(softmax=0, seesaw=0.5), 'macro', NAMES, 3)
    assert found.method == 'softmax'
    assert 'it is tied with the best' in found.sentence
    found = answer(compare(softmax=20, seesaw=0), 'overall', NAMES, 3)
    assert 'it has the best overall accuracy' in found.sentence
    found = answer(compare(softmax=20), 'overall', NAMES, 3)
    assert 'nothing to compare it with' in found.sentence


def test_small_parts_and_single_seeds_are_told():
    found = answer(
        compare(images=3, seeds=1, softmax=0, seesaw=5), 'macro', NAMES, 1
    )
    assert found.too_small == NAMES
    told = ' '.join(found.warnings)
    assert 'One seed' in told and '8 of 8 classes have fewer than 5' in told


def test_the_figure_that_decides_is_the_users():
    labels = np.repeat(np.arange(8), 50)
    tail = labels >= 6
    correct = {
        'softmax': np.where(tail, 0.2, 0.9),
        'seesaw': np.where(tail, 0.7, 0.6),
    }
    place = np.tile(np.linspace(0, 1, 50, endpoint=False), 8)
    hits = {name: np.stack([place < p] * 2) for name, p in correct.items()}
    compared = Comparison(hits, labels, COUNTS, hits, draws=200)
    assert answer(compared, 'group:rare', NAMES, 2).method == 'seesaw'
    assert answer(compared, 'overall', NAMES, 2).method == 'softmax'


def test_the_page_and_the_json_hold_it():
    compared = compare(softmax=0, tau_norm=2, balanced_softmax=15)
    found = answer(compared, 'macro', NAMES, 3)
    rows = [(row.method, row.kind) for row in found.rows]
    pictures = {
        'a': draw_trade_off(
            compared, rows, {'tau_norm': np.ones((3, 2))}, found.method
        ),
        'b': draw_gains(
            [
                (m, k, r.to_softmax.interval)
                for (m, k), r in zip(rows, found.rows)
            ],
            describe('macro'),
        ),
    }
    facts = dict(
        notes=['a note'],
        commands=['mmghm train chosen.py'],
        held_out=480,
        seeds=3,
        how='so',
        versions={'torch': '2'},
    )
    page = render(found, pictures, **facts)
    assert found.sentence in page and 'http' not in page.replace(
        'http-equiv', ''
    )
    assert page.count('data:image/svg+xml') == 2
    assert page.count('<tr class="tie') == 1
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content['rows'][0]['figures']['macro']['value'] > 70
    assert columns(found)[:2] == ['macro', 'overall']
    # Names of the user's are text.
    small = answer(compare(images=3, softmax=0, seesaw=5), 'macro', NAMES, 3)
    assert 'kind &lt;0&gt;' in render(small, {}, **facts)


def test_equal_methods_differ_by_nothing():
    found = answer(compare(softmax=0, crt=0), 'macro', NAMES, 3)
    (row,) = (r for r in found.rows if r.method == 'softmax')
    assert signed(row.to_softmax) == '+0.0 [0.0, 0.0]'


def test_kinds_and_words():
    assert [kind_of(m) for m in ('softmax', 'crt', 'classifier:focal')] == [
        *('trained', 'post-hoc', 'classifier')
    ]
    assert describe('group:rare') == "accuracy of the group 'rare'"


def test_tau_is_not_chosen_on_the_images_that_judge_it():
    # At tau 0 the first image of each class is right, at tau 1 the second.
    labels = torch.tensor([0, 0, 1, 1])
    right = torch.nn.functional.one_hot(labels, 2).double()
    one, other = split_held_out(labels.numpy(), 0.5, 0)
    of_tau = {0.0: right.clone(), 1.0: right.clone()}
    of_tau[0.0][one] = 1 - right[one]
    of_tau[1.0][other] = 1 - right[other]
    scores, _ = cross_fitted(of_tau, labels)
    # What is best on either half is wrong on the other.
    assert (scores.argmax(1) != labels).all()


@pytest.mark.parametrize('seeds', [1, 3])
def test_intervals_of_tiny_tails_are_not_too_sure(seeds):
    counts = np.geomspace(200, 2, 24).round().astype(int)
    held = np.maximum((0.2 * counts).round().astype(int), 1)
    labels = np.repeat(np.arange(24), held)
    inside = 0
    for trial in range(40):
        generator = np.random.default_rng(trial)
        chance = np.clip(
            np.linspace(0.9, 0.3, 24) + generator.normal(0, 0.1, 24), 0.05, 0.95
        )
        better = np.clip(chance + np.linspace(-0.03, 0.12, 24), 0, 1)
        hard = generator.random(len(labels))
        hits = {
            name: np.stack([hard < p[labels]] * seeds)
            for name, p in (('a', chance), ('b', better))
        }
        low, high = (
            Comparison(hits, labels, counts, draws=200)
            .difference('b', 'a', 'macro')
            .interval[1:]
        )
        inside += low <= 100 * (better - chance).mean() <= high
    # 38 of 40 are promised.
    assert inside >= 30


def results_of(of_factor, confidence=0.5, temperature=1.0, not_deferred=()):
    """Results of 100 images of 2 classes, of which each method has half."""
    labels = np.repeat([0, 1], 50)
    half = (np.arange(100) % 2).astype(bool)
    comparison = Comparison(
        {method: half[None] for method in of_factor},
        labels,
        np.array([90, 10]),
        {method: np.full((1, 100), confidence) for method in of_factor},
    )
    by_factor = {
        method: np.stack([np.arange(100) % 100 < n for n in numbers])
        for method, numbers in of_factor.items()
    }
    return Results(
        *(comparison, {}, {}, {}, {}, by_factor, temperature),
        list(not_deferred),
    )


def test_a_poor_recipe_is_told():
    found = answer_of_two('softmax')
    fine = {'softmax': (50, 50, 50), 'seesaw': (40, 40, 40)}
    assert doubts(results_of(fine), found) == []
    (error,) = doubts(results_of(fine, confidence=0.9), found)
    assert 'calibration error of 40 %' in error
    (hot,) = doubts(results_of(fine, temperature=4.2), found)
    assert 'temperature of 4.2' in hot
    late = [('ldam_drw', 'ldam')]
    (deferred,) = doubts(results_of(fine, not_deferred=late), found)
    assert deferred.startswith('ldam_drw predicts as ldam')


def test_an_answer_that_hangs_on_the_learning_rate_is_told():
    of_factor = {'softmax': (50, 50, 50), 'seesaw': (40, 40, 60)}
    (told,) = doubts(results_of(of_factor), answer_of_two('softmax'))
    assert 'with 3 times that of the recipe seesaw would' in told
    # A tie with the best is no other answer.
    both = answer_of_two('softmax', 'seesaw')
    assert doubts(results_of(of_factor), both) == []


def answer_of_two(*tied):
    rows = [
        SimpleNamespace(method=name, ties_with_best=name in tied)
        for name in ('softmax', 'seesaw')
    ]
    return Answer('overall', 'softmax', '', [], rows)
