"""GHM-CWAP against an independent computation, and at its limits."""

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models.losses import SeesawLoss

from mmghm.losses import GHMCWAPLoss, LogitAdjustedLoss
from mmghm.losses.functional import (
    adaptive_edges,
    add_margin,
    density,
    eq2_margin_terms,
    find_region,
    intra_weights,
)

from .reference import ReferenceGHMCWAP

COUNTS = [40, 9, 9, 2]


def margin_of(sizes, target, gamma):
    """Eq. (2), of what is added to logits of 0."""
    rival, own = eq2_margin_terms(sizes, gamma)
    added = add_margin(torch.zeros(len(target), len(sizes)), target, rival, own)
    return added - own[target].unsqueeze(1)


def batches(seed, kind):
    """Logits and targets of an epoch.

    Logits lie away from region edges: float32 and float64 then agree on
    regions, which the tests assert through the counts. Class 3 never is a
    label.
    """
    generator = torch.Generator().manual_seed(seed)
    for size in (7, 12, 1):
        logits = 3 * torch.randn(size, 4, generator=generator)
        if kind == 'large':
            logits = 1e4 * logits
        if kind == 'bfloat16':
            logits = logits.bfloat16()
        target = torch.randint(3, (size,), generator=generator)
        if kind == 'soft':
            other = torch.randint(4, (size,), generator=generator)
            target = 0.75 * F.one_hot(target, 4) + 0.25 * F.one_hot(other, 4)
        yield logits, target


def assert_same_state(loss, reference):
    torch.testing.assert_close(
        loss.counts / 2**20,
        torch.tensor(reference.counts),
        rtol=0,
        atol=1e-9,
        check_dtype=False,
    )
    values = density(loss.finished_examples, loss.finished_edges)
    for ours, theirs in (
        (loss.edges, reference.edges),
        (loss.finished_edges, reference.finished_edges),
        (values, reference.values),
    ):
        torch.testing.assert_close(
            ours, torch.tensor(theirs), rtol=1e-5, atol=1e-6
        )


# Every setting with every margin, and most pairs; not the product of all.
CASES = [
    ('paper', 'none', True, True, 'hard'),
    ('paper', 'regions', False, True, 'soft'),
    ('paper', 'mean', True, False, 'bfloat16'),
    ('paper', 'gradient', True, True, 'large'),
    ('paper', 'gradient', False, False, 'soft'),
    ('paper', 'gradient', True, True, 'soft'),
    ('paper', 'gradient', True, True, 'bfloat16'),
    ('balanced', 'none', False, True, 'soft'),
    ('balanced', 'regions', True, True, 'hard'),
    ('balanced', 'mean', False, True, 'large'),
    ('balanced', 'gradient', True, False, 'hard'),
    ('balanced', 'gradient', True, True, 'bfloat16'),
    ('none', 'none', True, False, 'bfloat16'),
    ('none', 'regions', False, False, 'large'),
    ('none', 'mean', True, True, 'soft'),
    ('none', 'gradient', False, True, 'hard'),
]


@pytest.mark.parametrize('intra', [True, False])
@pytest.mark.parametrize('margin, normalize, adaptive, known, kind', CASES)
def test_equals_the_reference_over_four_epochs(
    margin, normalize, adaptive, known, kind, intra
):
    kwargs = dict(
        num_classes=4,
        num_regions=5,
        alpha=0.7,
        gamma=0.8,
        margin=margin,
        normalize=normalize,
        adaptive=adaptive,
        intra_balance=intra,
        class_counts=COUNTS if known else None,
    )
    loss, reference = GHMCWAPLoss(**kwargs), ReferenceGHMCWAP(**kwargs)
    loss.rebin_scheduled = True
    for epoch in range(4):
        for logits, target in batches(epoch, kind):
            ours = logits.clone().requires_grad_()
            theirs = logits.double().requires_grad_()
            value = loss(ours, target, avg_factor=len(target))
            expected = reference(theirs, target).mean()
            value.backward()
            expected.backward()
            assert_same_state(loss, reference)
            torch.testing.assert_close(
                value.double(), expected, rtol=1e-5, atol=1e-6
            )
            # A gradient in bfloat16 has 8 bits.
            rounded = kind == 'bfloat16'
            torch.testing.assert_close(
                ours.grad.double(),
                theirs.grad,
                rtol=1e-2 if rounded else 1e-5,
                atol=1e-3 if rounded else 1e-6,
            )
        loss.rebin()
        reference.rebin()
        assert_same_state(loss, reference)


def test_the_defaults_are_the_papers():
    by_name = dict(
        num_regions=30, alpha=0.9, gamma=0.8, margin='paper', adaptive=True
    )
    ours = GHMCWAPLoss(4, class_counts=COUNTS)
    theirs = ReferenceGHMCWAP(4, class_counts=COUNTS, **by_name)
    for epoch in range(2):
        for logits, target in batches(epoch, 'hard'):
            torch.testing.assert_close(
                ours(logits, target).double(),
                theirs(logits.double(), target).mean(),
                rtol=1e-5,
                atol=1e-6,
            )
        ours.rebin(), theirs.rebin()


def test_one_region_without_margin_is_cross_entropy():
    loss = GHMCWAPLoss(6, num_regions=1, gamma=0, class_counts=range(1, 7))
    logits, target = torch.randn(32, 6), torch.randint(6, (32,))
    for _ in range(2):
        torch.testing.assert_close(
            loss(logits, target), F.cross_entropy(logits, target)
        )
        loss.rebin()


def test_the_balanced_margin_is_balanced_softmax():
    counts = [50, 20, 20, 5, 1]
    ours = GHMCWAPLoss(
        5,
        margin='balanced',
        gamma=1.0,
        intra_balance=False,
        class_counts=counts,
    )
    theirs = LogitAdjustedLoss(5, class_counts=counts)
    logits, target = torch.randn(32, 5), torch.randint(5, (32,))
    for target_ in (target, F.one_hot(target, 5) * 0.6 + 0.08):
        torch.testing.assert_close(
            ours(logits, target_), theirs(logits, target_)
        )


def test_one_region_with_prior_is_seesaw_mitigation():
    counts = torch.tensor([50, 20, 20, 5, 1])
    ours = GHMCWAPLoss(
        5, num_regions=1, alpha=1, gamma=0.6, class_counts=counts
    )
    seesaw = SeesawLoss(p=0.6, q=0, num_classes=5)
    logits, target = torch.randn(64, 5), torch.randint(5, (64,))
    # Seesaw counts the batch first: let it end up at the same counts.
    seesaw.cum_samples.copy_(counts - torch.bincount(target, minlength=5))
    torch.testing.assert_close(ours(logits, target), seesaw(logits, target))


def test_soft_targets_of_one_class_equal_labels():
    by_label, by_part = (
        GHMCWAPLoss(5, num_regions=7, class_counts=[9, 7, 5, 3, 2])
        for _ in range(2)
    )
    for _ in range(3):
        logits, target = 4 * torch.randn(16, 5), torch.randint(5, (16,))
        torch.testing.assert_close(
            by_label(logits, target),
            by_part(logits, F.one_hot(target, 5).float()),
        )
        assert torch.equal(by_label.counts, by_part.counts)
        by_label.rebin(), by_part.rebin()


def test_soft_targets_add_up_to_whole_examples():
    loss = GHMCWAPLoss(2, num_regions=1, class_counts=[1, 1])
    for _ in range(10):
        loss(torch.zeros(1, 2), torch.tensor([[0.3, 0.7]]))
    examples = loss.counts / 2**20
    assert examples.flatten().tolist() == pytest.approx([3, 7], abs=1e-4)


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float64]
)
def test_computes_in_float32(dtype):
    logits, target = torch.randn(8, 3).to(dtype), torch.randint(3, (8,))
    ours, plain = (GHMCWAPLoss(3, class_counts=[3, 2, 1]) for _ in range(2))
    value = ours(logits.requires_grad_(), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, plain(logits.float(), target))
    value.backward()
    assert logits.grad.dtype == dtype


def test_counts_only_in_training():
    loss = GHMCWAPLoss(3, class_counts=[3, 2, 1]).eval()
    loss(torch.randn(8, 3), torch.randint(3, (8,)))
    assert not loss.counts.any()
    loss.train()(torch.randn(8, 3), torch.randint(3, (8,)))
    assert loss.counts.sum() == 8 * 2**20


@pytest.mark.parametrize('margin', ['paper', 'balanced', 'none'])
@pytest.mark.parametrize('soft', [False, True])
def test_a_class_masked_by_minus_infinity(margin, soft):
    """Where cross-entropy gives a number, so does the loss."""
    loss = GHMCWAPLoss(4, margin=margin, class_counts=[9, 5, 3, 1])
    lowered = copy.deepcopy(loss)
    logits = torch.randn(6, 4)
    logits[:, 3] = -float('inf')
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    if soft:
        target = F.one_hot(target, 4) * 0.7 + F.one_hot(target.flip(0), 4) * 0.3
    results = []
    for each, value in ((loss, -float('inf')), (lowered, -1e9)):
        logits = logits.clone()
        logits[:, 3] = value
        logits.requires_grad_()
        total = each(logits, target)
        (gradient,) = torch.autograd.grad(total, logits)
        assert total.isfinite() and gradient.isfinite().all()
        results.append((total.detach(), gradient))
        logits = logits.detach()
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize('soft', [False, True])
def test_nan_logits_surface_and_are_not_counted(soft):
    loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    logits = torch.randn(4, 3)
    logits[1, 2] = float('nan')
    target = torch.tensor([0, 1, 2, 0])
    if soft:
        target = F.one_hot(target, 3).float()
    values = loss(logits, target, reduction_override='none')
    assert values.isnan().tolist() == [False, True, False, False]
    assert loss.counts.sum() == 3 * 2**20
    loss.rebin()
    assert all(value.isfinite().all() for value in loss.state_dict().values())


def test_extreme_logits_stay_finite():
    loss = GHMCWAPLoss(4, class_counts=[1000, 100, 10, 1])
    for scale in (1e-30, 1e2, 1e4, 1e30):
        logits = (scale * torch.randn(64, 4)).requires_grad_()
        for target in (
            torch.randint(4, (64,)),
            torch.rand(64, 4).softmax(dim=1),
        ):
            value = loss(logits, target)
            value.backward()
            assert value.isfinite() and logits.grad.isfinite().all()
    loss.rebin()
    assert (loss.weights > 0).all()


def test_differentiable_twice():
    loss = GHMCWAPLoss(3, class_counts=[3, 2, 1])
    target = torch.tensor([0, 2])
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        loss(logits, target), logits, create_graph=True
    )
    (second,) = torch.autograd.grad(gradient.square().sum(), logits)
    assert second.abs().sum() > 0


def test_absent_class_has_no_margin():
    with pytest.warns(UserWarning, match='no training image of class 1 of 3'):
        loss = GHMCWAPLoss(3, class_counts=[8, 0, 2], intra_balance=False)
    logits = torch.randn(6, 3)
    # As a target: plain cross-entropy.
    target = torch.ones(6, dtype=torch.long)
    torch.testing.assert_close(
        loss(logits, target), F.cross_entropy(logits, target)
    )
    # As a rival: the margin matrix has a zero column.
    margin = margin_of(
        torch.tensor([8.0, 0.0, 2.0]), torch.tensor([0, 1, 2]), 0.8
    )
    assert not margin[:, 1].any() and not margin[1].any()
    assert margin[0, 2] < 0 and margin[2, 0] == 0
    # From the first epoch that it is seen in, it takes part.
    assert loss.rival.isinf().tolist() == [False, True, False]
    loss(logits, target)
    loss.rebin()
    assert loss.rival.isfinite().all()


def test_region_edges():
    edges = torch.tensor([0.25, 0.5])
    norms = torch.tensor([0, 0.2, 0.25, 0.4999, 0.5, 0.99, 1.0])
    assert find_region(norms, edges).tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert find_region(norms, torch.tensor([])).tolist() == [0] * 7


def test_the_finished_histogram_is_looked_up_on_its_own_edges():
    loss = GHMCWAPLoss(
        2, num_regions=4, alpha=1, normalize='none', margin='none'
    )
    logits = torch.zeros(40, 2)
    logits[:30, 0] = 6
    target = torch.zeros(40, dtype=torch.long)
    loss(logits, target)
    loss.rebin()
    assert not torch.equal(loss.edges[0], loss.finished_edges[0])
    # g = 0.5 lies in the third old region, which holds 10 of 40 examples.
    assert loss.finished_examples[0].tolist() == [30, 0, 10, 0]
    value = loss(torch.zeros(1, 2), target[:1])
    torch.testing.assert_close(value, torch.tensor(2.0).log() * 40 / 10)


def test_unseen_class_keeps_its_histogram():
    loss = GHMCWAPLoss(2, num_regions=3, class_counts=[9, 3])
    loss(torch.randn(5, 2), torch.zeros(5, dtype=torch.long))
    loss(torch.randn(5, 2), torch.ones(5, dtype=torch.long))
    loss.rebin()
    before = {k: v[1].clone() for k, v in loss.state_dict().items()}
    loss(torch.randn(9, 2), torch.zeros(9, dtype=torch.long))
    loss.rebin()
    for name, value in before.items():
        assert torch.equal(loss.state_dict()[name][1], value), name
    assert loss.finished_examples.sum(dim=1).tolist() == [9, 5]


def test_counts_are_exact_past_float32():
    loss = GHMCWAPLoss(2, num_regions=1, class_counts=[1, 1])
    loss.counts[0, 0] = 2**44
    loss(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))
    assert loss.counts[0, 0] == 2**44 + 3 * 2**20


def trained():
    loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    for _ in range(2):
        loss(torch.randn(9, 3), torch.arange(9) % 3)
        loss.rebin()
    loss(torch.randn(9, 3), torch.arange(9) % 3)
    return loss


def test_state_survives_casts_copies_and_checkpoints():
    loss = trained()
    state = {k: v.clone() for k, v in loss.state_dict().items()}
    assert set(state) == {
        *('edges', 'counts', 'finished_edges', 'finished_counts'),
        *('weights', 'rival', 'own'),
    }
    loss.half().to(torch.bfloat16)
    other = GHMCWAPLoss(3)
    other.load_state_dict(state)
    for found in (loss, other, pickle.loads(pickle.dumps(loss))):
        for key, value in state.items():
            assert torch.equal(found.state_dict()[key], value), key
    with pytest.raises(RuntimeError, match='size mismatch for counts'):
        GHMCWAPLoss(3, num_regions=7).load_state_dict(state)
    with pytest.raises(RuntimeError, match='Missing key'):
        other.load_state_dict({})


def test_class_counts_stay_those_of_the_data():
    """A checkpoint of other data does not bring its class counts along."""
    other = GHMCWAPLoss(3, class_counts=[1, 3, 50])
    other.load_state_dict(trained().state_dict())
    assert other.class_counts.tolist() == [1, 3, 50]


def test_meta_device_initialisation():
    with torch.device('meta'):
        loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    loss = loss.to_empty(device='cpu')
    for buffer in loss.buffers():
        buffer.fill_(7)
    loss.reset_parameters()
    plain = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    for ours, theirs in zip(loss.buffers(), plain.buffers()):
        assert torch.equal(ours, theirs)


def test_reductions():
    logits, target = torch.randn(5, 3), torch.randint(3, (5,))
    loss = GHMCWAPLoss(3, margin='none', intra_balance=False, loss_weight=2)
    each = 2 * F.cross_entropy(logits, target, reduction='none')
    weight = torch.rand(5)
    check = torch.testing.assert_close
    check(loss(logits, target, reduction_override='none'), each)
    check(
        loss(logits, target, weight, reduction_override='sum'),
        (each * weight).sum(),
    )
    check(loss(logits, target, weight), (each * weight).mean())
    for divisor in (2, 2.0, torch.tensor(2), torch.tensor([2.0])):
        value = loss(logits, target, avg_factor=divisor)
        check(value.squeeze(), each.sum() / 2)


@pytest.mark.parametrize(
    'kwargs, error, match',
    [
        (dict(alpha=0), ValueError, r'alpha must be in \(0, 1\], got 0'),
        (dict(alpha=1.5), ValueError, 'alpha'),
        (dict(alpha='x'), TypeError, 'alpha must be a number'),
        (dict(gamma=-1), ValueError, 'gamma'),
        (dict(gamma=float('nan')), ValueError, 'gamma'),
        (dict(num_regions=0), ValueError, 'num_regions must be at least 1'),
        (dict(num_regions=1.5), TypeError, 'num_regions must be an integer'),
        (dict(normalize='x'), ValueError, "normalize must be .* got 'x'"),
        (dict(margin='x'), ValueError, 'margin'),
        (dict(reduction='x'), ValueError, 'reduction'),
        (dict(class_counts=[1, 2]), ValueError, 'num_classes=3 entries'),
        (dict(class_counts=[1, 2, -3]), ValueError, 'got -3 for class 2'),
        (dict(class_counts=[1, 2, 0.5]), TypeError, 'integers'),
        (dict(class_counts=[0, 0, 0]), ValueError, 'at least one image'),
        (dict(num_classes=0), ValueError, 'num_classes'),
    ],
)
def test_refuses_bad_arguments(kwargs, error, match):
    with pytest.raises(error, match=match):
        GHMCWAPLoss(**{'num_classes': 3, **kwargs})


LABELS = torch.zeros(2).long()


@pytest.mark.parametrize(
    'logits, target, error, match',
    [
        (torch.zeros(2, 4), LABELS, ValueError, 'num_classes=3'),
        (torch.zeros(2, 3, 4, 4), LABELS, ValueError, 'flatten with'),
        (
            torch.zeros(2, 3),
            torch.tensor([0, 3]),
            ValueError,
            r'background.* not supported\), got 3',
        ),
        (
            torch.zeros(2, 3),
            torch.tensor([0, -100]),
            ValueError,
            'no ignore_index.*got -100',
        ),
        (torch.zeros(2, 3), torch.zeros(2), TypeError, 'integer class indices'),
        (torch.zeros(2, 3), torch.zeros(3).long(), ValueError, 'must have sha'),
        (torch.zeros(2, 3), torch.full((2, 3), -0.1), ValueError, 'at least 0'),
        (torch.zeros(2, 3), torch.ones(2, 3).long(), TypeError, 'soft targets'),
        (
            torch.zeros(2, 3),
            torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
            ValueError,
            'sum to 1.*multi-label',
        ),
        (torch.zeros(2, 3).long(), LABELS, TypeError, 'floating'),
        ([[0.0]], LABELS, TypeError, 'must be a tensor, got list'),
    ],
)
def test_refuses_bad_input_and_leaves_the_state(logits, target, error, match):
    loss = GHMCWAPLoss(3, class_counts=[3, 2, 1])
    before = {k: v.clone() for k, v in loss.state_dict().items()}
    with pytest.raises(error, match=match) as caught:
        loss(logits, target)
    assert '\n' not in str(caught.value)
    assert all(torch.equal(loss.state_dict()[k], v) for k, v in before.items())


@pytest.mark.parametrize(
    'kwargs, error, match',
    [
        (dict(ignore_index=255), TypeError, 'does not take ignore_index'),
        (dict(avg_factor=0), ValueError, 'avg_factor'),
        (dict(avg_factor=torch.tensor(-1.0)), ValueError, 'above 0, got -1'),
        (dict(avg_factor=torch.ones(2)), ValueError, 'one number'),
        (
            dict(avg_factor=2, reduction_override='sum'),
            ValueError,
            "reduction='mean' only",
        ),
        (dict(weight=torch.ones(3)), ValueError, 'weight must have shape'),
    ],
)
def test_refuses_bad_arguments_of_a_call(kwargs, error, match):
    loss = GHMCWAPLoss(3, class_counts=[3, 2, 1])
    with pytest.raises(error, match=match):
        loss(torch.zeros(2, 3), LABELS, **kwargs)


def test_warns_once_if_nothing_rebins():
    loss = GHMCWAPLoss(2, class_counts=[6, 2])
    logits, target = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for _ in range(4):
            loss(logits, target)
    with pytest.warns(UserWarning, match='AURARebinHook'):
        loss(logits, target)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loss(logits, target)


def test_warns_once_without_class_counts():
    loss = GHMCWAPLoss(2)
    logits, target = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    with pytest.warns(UserWarning, match='no class counts are known'):
        loss(logits, target)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loss(logits, target)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=40),
    st.floats(0.05, 1),
    st.sampled_from(['none', 'regions', 'mean', 'gradient']),
)
def test_widths_and_weights_of_any_histogram(counts, alpha, normalize):
    values = torch.tensor(counts, dtype=torch.float32)
    edges = adaptive_edges(values)
    widths = edges.diff()
    assert edges[0] == 0 and edges[-1] == 1 and (widths >= 0).all()
    torch.testing.assert_close(widths.sum(), torch.tensor(1.0))
    weights = intra_weights(values, edges, alpha, normalize)
    assert weights.isfinite().all() and (weights > 0).all()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=20), st.floats(0, 5)
)
def test_margins_are_at_most_zero(counts, gamma):
    sizes = torch.tensor(counts, dtype=torch.float32)
    target = torch.arange(len(counts))
    margin = margin_of(sizes, target, gamma)
    assert (margin <= 0).all() and margin.isfinite().all()
    assert not margin.diagonal().any()
    assert not (margin * margin.t()).any()  # never both ways
