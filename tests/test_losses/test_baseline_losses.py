"""Every baseline against a plain float64 computation of single scalars."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.losses import SeesawLoss
from mmpretrain.registry import MODELS

from mmghm.engine.configs import compose
from mmghm.losses import (
    GHMCrossEntropyLoss,
    GHMCWAPLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    ReweightedCrossEntropyLoss,
    SeesawCrossEntropyLoss,
    SoftmaxEqualizationLoss,
    SoftmaxFocalLoss,
)
from mmghm.losses.functional import class_weights

COUNTS = [400, 90, 25, 4, 1]
C = len(COUNTS)


def cross_entropy(z, y):
    return torch.logsumexp(z, 0) - z[y]


def scaled(raw):
    return [C * w / sum(raw) for w in raw]


INVERSE = scaled([1 / n for n in COUNTS])
EFFECTIVE = scaled([(1 - 0.99) / (1 - 0.99**n) for n in COUNTS])


def focal(z, y):
    p = z.softmax(0)[y]
    return -((1 - p) ** 2) * p.log()


def adjusted(z, y):
    total = sum(COUNTS)
    prior = torch.tensor([math.log(n / total) for n in COUNTS])
    return cross_entropy(z + 1.5 * prior.double(), y)


def ldam(z, y):
    margin = 0.5 * (COUNTS[y] / min(COUNTS)) ** -0.25
    moved = [z[j] - (margin if j == y else 0) for j in range(C)]
    return cross_entropy(10 * torch.stack(moved), y)


def seesaw(z, y):
    # One batch of the test's labels is counted before.
    scores = z.detach().softmax(0)
    moved = []
    for j in range(C):
        shift = 0.0
        if j != y:
            ratio = max(SEEN[j], 1) / max(SEEN[y], 1)
            shift += 0.8 * math.log(min(1, ratio))
            ratio = float(scores[j]) / max(float(scores[y]), 1e-2)
            shift += 2 * math.log(max(1, ratio))
        moved.append(z[j] + shift)
    return cross_entropy(torch.stack(moved), y)


LABELS = [0, 0, 0, 1, 2, 3, 0, 1]
SEEN = [LABELS.count(c) for c in range(C)]
SETTINGS = dict(num_classes=C, class_counts=COUNTS)
LOSSES = {
    'inverse': (
        lambda: ReweightedCrossEntropyLoss(weighting='inverse', **SETTINGS),
        lambda z, y: INVERSE[y] * cross_entropy(z, y),
    ),
    'effective number': (
        lambda: ReweightedCrossEntropyLoss(beta=0.99, **SETTINGS),
        lambda z, y: EFFECTIVE[y] * cross_entropy(z, y),
    ),
    'focal': (lambda: SoftmaxFocalLoss(gamma=2, **SETTINGS), focal),
    'class-balanced focal': (
        lambda: SoftmaxFocalLoss(
            gamma=2, weighting='effective_number', beta=0.99, **SETTINGS
        ),
        lambda z, y: EFFECTIVE[y] * focal(z, y),
    ),
    'logit adjusted': (
        lambda: LogitAdjustedLoss(tau=1.5, **SETTINGS),
        adjusted,
    ),
    'LDAM': (lambda: LDAMLoss(scale=10, **SETTINGS), ldam),
    'LDAM, weighted': (
        lambda: LDAMLoss(scale=10, weighting='inverse', **SETTINGS),
        lambda z, y: INVERSE[y] * ldam(z, y),
    ),
    'Seesaw': (lambda: SeesawCrossEntropyLoss(C), seesaw),
}


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('scale', [1, 12])
def test_equals_plain_computation(name, soft, scale):
    make, reference = LOSSES[name]
    torch.manual_seed(0)
    logits = scale * torch.randn(len(LABELS), C)
    target = torch.tensor(LABELS)
    if soft:
        other = F.one_hot((target + 2) % C, C)
        target = 0.7 * F.one_hot(target, C) + 0.3 * other
    ours = logits.clone().requires_grad_()
    theirs = logits.double().requires_grad_()
    value = make()(ours, target, avg_factor=len(LABELS))
    shares = target.tolist() if soft else F.one_hot(target, C).tolist()
    expected = sum(
        s * reference(z, y)
        for z, row in zip(theirs, shares)
        for y, s in enumerate(row)
        if s
    ) / len(LABELS)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize('normalize', ['pairs', 'samples'])
@pytest.mark.parametrize('soft', [False, True])
def test_ghmc_equals_plain_computation(normalize, soft):
    loss = GHMCrossEntropyLoss(C, bins=6, momentum=0.75, normalize=normalize)
    average = [0.0] * 6
    for seed in range(3):
        torch.manual_seed(seed)
        logits = 2 * torch.randn(9, C)
        target = torch.randint(C, (9,))
        shares = F.one_hot(target, C).double()
        if soft:
            shares = 0.8 * shares + 0.2 * shares.roll(1, 0)
            target = shares.float()
        ours = logits.clone().requires_grad_()
        theirs = logits.double().requires_grad_()
        norms = [
            [
                min(int(abs(1 / (1 + math.exp(-float(x))) - float(t)) * 6), 5)
                for x, t in zip(*row)
            ]
            for row in zip(logits.double(), shares)
        ]
        counts = [sum(row.count(b) for row in norms) for b in range(6)]
        average = [
            0.75 * a + 0.25 * k if k else a for a, k in zip(average, counts)
        ]
        occupied = sum(k > 0 for k in counts)
        expected = sum(
            9 * C / average[b] / occupied * (F.softplus(x) - t * x)
            for z, row, bins in zip(theirs, shares, norms)
            for x, t, b in zip(z, row, bins)
        ) / (9 * C if normalize == 'pairs' else 9)
        value = loss(ours, target)
        value.backward()
        expected.backward()
        torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=0)
        torch.testing.assert_close(
            ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-7
        )


def test_equalization_equals_plain_computation():
    torch.manual_seed(0)
    loss = SoftmaxEqualizationLoss(**SETTINGS, gamma=0.5, tail_ratio=0.4)
    assert loss.thresholds.tolist() == [-(2**15)] * 2 + [0] * 3
    logits = torch.randn(200, C)
    target = torch.randint(C, (200,))
    drawn = loss.draw(logits)
    kept = ~drawn
    assert kept[:, :2].all()
    assert 0.4 < kept[:, 2:].double().mean() < 0.6
    expected = [
        torch.logsumexp(
            torch.stack([z[j] for j in range(C) if k[j] or j == y]), 0
        )
        - z[y]
        for z, k, y in zip(logits, kept, target.tolist())
    ]
    loss.draw = lambda logits: drawn
    actual = loss(logits, target, reduction_override='none')
    torch.testing.assert_close(actual, torch.stack(expected))
    # Soft targets: the same draw for all classes of an example.
    soft = F.one_hot(target, C).float()
    torch.testing.assert_close(loss.example_losses(logits, soft), actual)


PLAIN = {
    'equal counts, inverse': lambda: ReweightedCrossEntropyLoss(
        C, 'inverse', class_counts=[7] * C
    ),
    'equal counts, effective number': lambda: ReweightedCrossEntropyLoss(
        C, class_counts=[7] * C
    ),
    'tau 0': lambda: LogitAdjustedLoss(C, tau=0, class_counts=COUNTS),
    'q = p = 0': lambda: SeesawCrossEntropyLoss(C, p=0, q=0),
    'gamma 0': lambda: SoftmaxFocalLoss(C, gamma=0),
    'no margin': lambda: LDAMLoss(
        C, max_margin=0, scale=1, class_counts=COUNTS
    ),
    'keeps all': lambda: SoftmaxEqualizationLoss(
        C, gamma=0, class_counts=COUNTS
    ),
    'beta 0': lambda: ReweightedCrossEntropyLoss(
        C, beta=0, class_counts=COUNTS
    ),
}


@pytest.mark.parametrize('name', PLAIN)
@pytest.mark.parametrize('soft', [False, True])
def test_limits_are_cross_entropy(name, soft):
    logits, target = torch.randn(20, C), torch.randint(C, (20,))
    if soft:
        target = F.one_hot(target, C) * 0.6 + F.one_hot(target.flip(0), C) * 0.4
    torch.testing.assert_close(
        PLAIN[name]()(logits, target), F.cross_entropy(logits, target)
    )


def test_seesaw_equals_mmpretrain_over_batches():
    ours = SeesawCrossEntropyLoss(40)
    theirs = SeesawLoss(num_classes=40)
    for seed in range(4):
        torch.manual_seed(seed)
        logits, target = 4 * torch.randn(64, 40), torch.randint(30, (64,))
        torch.testing.assert_close(
            ours(logits, target), theirs(logits, target), rtol=1e-5, atol=1e-6
        )
    assert ours.seen.tolist() == theirs.cum_samples.tolist()
    ours.eval()(logits, target)
    assert ours.seen.sum() == 4 * 64


def test_seesaw_refuses_mixtures_of_more_than_two_classes():
    with pytest.raises(ValueError, match='at most 2 classes'):
        SeesawCrossEntropyLoss(3)(torch.zeros(1, 3), torch.full((1, 3), 1 / 3))


def test_normalize_by_weights_equals_torch():
    loss = ReweightedCrossEntropyLoss(
        C, 'inverse', normalize='weights', class_counts=COUNTS
    )
    logits, target = torch.randn(30, C), torch.randint(C, (30,))
    for reduction in ('mean', 'sum', 'none'):
        expected = F.cross_entropy(
            logits, target, weight=loss.class_weights, reduction=reduction
        )
        found = loss(logits, target, reduction_override=reduction)
        torch.testing.assert_close(found, expected)


def test_weights_by_effective_number_meet_both_limits():
    counts = torch.tensor(COUNTS)
    torch.testing.assert_close(
        class_weights(counts, 'effective_number', 1 - 1e-9),
        class_weights(counts, 'inverse', 0),
        rtol=1e-4,
        atol=0,
    )
    torch.testing.assert_close(
        class_weights(counts, 'inverse', 0), torch.tensor(INVERSE)
    )
    # Nothing known: no weighting.
    assert (class_weights(torch.zeros(3), 'inverse', 0) == 1).all()


ABSENT = {
    'inverse': lambda **kw: ReweightedCrossEntropyLoss(
        weighting='inverse', **kw
    ),
    'effective number': lambda **kw: ReweightedCrossEntropyLoss(**kw),
    'LDAM': lambda **kw: LDAMLoss(**kw),
    'equalization': lambda **kw: SoftmaxEqualizationLoss(gamma=1, **kw),
}


@pytest.mark.parametrize('name', ABSENT)
def test_classes_without_images_take_nothing_from_the_others(name):
    """A head of 100 classes of which 5 have images."""
    small = ABSENT[name](num_classes=C, class_counts=COUNTS)
    with pytest.warns(UserWarning, match='no training image of class 5, 6.*85'):
        large = ABSENT[name](
            num_classes=100, class_counts=COUNTS + [0] * (100 - C)
        )
    logits, target = torch.randn(30, C), torch.randint(C, (30,))
    # The other classes have no probability.
    padded = F.pad(logits, (0, 100 - C), value=-1e9)
    torch.testing.assert_close(large(padded, target), small(logits, target))


@pytest.mark.parametrize('num_classes', [2, 100, 8142])
@pytest.mark.parametrize('name', [*LOSSES, 'equalization', 'GHM-C'])
def test_extreme_input_stays_finite(name, num_classes):
    counts = torch.arange(num_classes).flip(0)  # the last class is absent
    kwargs = dict(num_classes=num_classes, class_counts=counts)
    loss = {
        'inverse': lambda: ReweightedCrossEntropyLoss(
            weighting='inverse', **kwargs
        ),
        'effective number': lambda: ReweightedCrossEntropyLoss(**kwargs),
        'focal': lambda: SoftmaxFocalLoss(gamma=0.5, **kwargs),
        'class-balanced focal': lambda: SoftmaxFocalLoss(
            gamma=0.5, weighting='effective_number', **kwargs
        ),
        'logit adjusted': lambda: LogitAdjustedLoss(**kwargs),
        'LDAM': lambda: LDAMLoss(**kwargs),
        'LDAM, weighted': lambda: LDAMLoss(weighting='inverse', **kwargs),
        'Seesaw': lambda: SeesawCrossEntropyLoss(num_classes),
        'equalization': lambda: SoftmaxEqualizationLoss(**kwargs),
        'GHM-C': lambda: GHMCrossEntropyLoss(num_classes),
    }[name]()
    for scale in (0, 1, 1e4):
        logits = (scale * torch.randn(4, num_classes)).requires_grad_()
        label = torch.tensor([0, num_classes - 1, 1, 0])
        mixed = 0.5 * (
            F.one_hot(label, num_classes)
            + F.one_hot(label.flip(0), num_classes)
        )
        for target in (label, mixed):
            value = loss(logits.half() if scale == 1 else logits, target)
            (gradient,) = torch.autograd.grad(value, logits)
            assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize(
    'make',
    [
        lambda: ReweightedCrossEntropyLoss(3),
        lambda: LogitAdjustedLoss(3),
        lambda: LDAMLoss(3),
        lambda: SoftmaxEqualizationLoss(3),
    ],
)
def test_asks_for_missing_counts(make):
    with pytest.raises(ValueError, match='ClassCountsHook'):
        make()(torch.zeros(1, 3), torch.zeros(1).long())


def test_reads_counts_from_a_file(tmp_path):
    path = tmp_path / 'counts.txt'
    path.write_text('5\n3\n1\n')
    loss = LogitAdjustedLoss(3, class_counts=str(path))
    assert loss.class_counts.tolist() == [5, 3, 1]
    path.write_text('5\nthree\n')
    with pytest.raises(ValueError, match='one integer a line'):
        LogitAdjustedLoss(3, class_counts=str(path))


@pytest.mark.parametrize(
    'make, match',
    [
        (lambda: ReweightedCrossEntropyLoss(3, beta=1), 'beta must be in'),
        (lambda: ReweightedCrossEntropyLoss(3, 'equal'), 'weighting'),
        (lambda: SoftmaxFocalLoss(3, gamma=-1), 'gamma'),
        (lambda: LogitAdjustedLoss(3, tau=-1), 'tau'),
        (lambda: LDAMLoss(3, scale=0), 'scale'),
        (lambda: SoftmaxEqualizationLoss(3, gamma=2), 'gamma'),
        (lambda: SeesawCrossEntropyLoss(3, p=-1), 'p must be'),
        (lambda: GHMCrossEntropyLoss(3, momentum=1), 'momentum'),
        (lambda: GHMCrossEntropyLoss(3, normalize='x'), 'normalize'),
    ],
)
def test_refuses_bad_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_ghm_c_does_not_count_nan():
    logits, target = 3 * torch.randn(40, C), torch.randint(C, (40,))
    clean, spoiled = GHMCrossEntropyLoss(C), GHMCrossEntropyLoss(C)
    clean(logits, target)
    logits[3, 1] = float('nan')
    values = spoiled(logits, target, reduction_override='none')
    assert values.isnan().sum() == 1
    missing = clean.smooth_counts.sum() - spoiled.smooth_counts.sum()
    assert missing.item() == pytest.approx(0.25)


@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
@pytest.mark.parametrize('name', [*LOSSES, 'GHM-C', 'GHM-CWAP'])
def test_the_value_may_be_scaled_in_place(name, reduction):
    """As trainers with gradient accumulation do."""
    make = {
        'GHM-C': lambda: GHMCrossEntropyLoss(C),
        'GHM-CWAP': lambda: GHMCWAPLoss(C, class_counts=COUNTS),
    }.get(name, LOSSES.get(name, [None])[0])
    torch.manual_seed(0)
    logits = torch.randn(len(LABELS), C, requires_grad=True)
    gradients = []
    for factor in (1, 0.25):
        value = make()(
            logits, torch.tensor(LABELS), reduction_override=reduction
        )
        value *= factor
        gradients += torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradients[1], gradients[0] / 4)


def test_ce_drw_is_torchs_weighted_cross_entropy():
    """Cao et al. 2019 give the weights to F.cross_entropy(weight=...)."""
    loss = MODELS.build(
        dict(
            compose('effective_number_drw', 'resnet8_digits_lt').model.head.loss
        )
    )
    counts = np.array([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])
    loss.set_class_counts(counts)
    loss.weights_active = True
    torch.manual_seed(0)
    logits = torch.randn(64, 10, requires_grad=True)
    target = torch.randint(10, (64,))
    effective = (1 - 0.9999**counts) / (1 - 0.9999)
    weight = torch.tensor(1 / effective).float()
    expected = F.cross_entropy(logits, target, weight / weight.sum() * 10)
    (gradient,) = torch.autograd.grad(expected, logits)
    value = loss(logits, target)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, logits)[0], gradient)
