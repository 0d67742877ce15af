import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS
from mmpretrain.models.losses import SeesawLoss

from mmghm.models import GHMCWAPLoss, LogitAdjustedLoss
from mmghm.models.losses.functional.intra_weight import (
    effective_size,
    region_weight,
)
from mmghm.models.losses.functional.margin import add_margin, log_sizes
from mmghm.models.losses.functional.regions import adaptive_edges, find_region

from .reference import ReferenceGHMCWAP

SWITCHES = list(
    itertools.product(
        (True, False),  # intra_balance
        ('balanced', 'paper', 'none'),  # margin
        (True, False),  # adaptive
        ('none', 'regions', 'mean', 'gradient'),
        ('previous', 'running'),
        (True, False),
    )
)  # class counts known


def margin_of(sizes, target, gamma):
    """Eq. (2), of what is added to logits of 0."""
    rival, own = log_sizes(sizes, gamma)
    added = add_margin(torch.zeros(len(target), len(sizes)), target, rival, own)
    return added - own[target].unsqueeze(1)


def batches(num_classes, seed, soft=False):
    """Logits away from region edges: float32 and float64 then agree on
    regions, which the tests assert through the counts."""
    generator = torch.Generator().manual_seed(seed)
    for size in (7, 12, 1):
        logits = 3 * torch.randn(size, num_classes, generator=generator)
        target = torch.randint(num_classes - 1, (size,), generator=generator)
        if soft:
            other = torch.randint(num_classes, (size,), generator=generator)
            target = 0.75 * F.one_hot(target, num_classes) + 0.25 * F.one_hot(
                other, num_classes
            )
        yield logits, target


def assert_same_state(loss, reference):
    torch.testing.assert_close(
        loss.histogram.counts / 2**20,
        torch.tensor(reference.counts),
        rtol=0,
        atol=1e-9,
        check_dtype=False,
    )
    for name, theirs in (
        ('edges', reference.edges),
        ('densities', reference.values),
        ('density_edges', reference.values_edges),
    ):
        torch.testing.assert_close(
            getattr(loss.histogram, name),
            torch.tensor(theirs),
            rtol=1e-5,
            atol=1e-6,
        )


def assert_equals_reference_over_three_epochs(soft, **kwargs):
    kwargs = dict(num_classes=4, num_regions=5, alpha=0.7, **kwargs)
    loss, reference = GHMCWAPLoss(**kwargs), ReferenceGHMCWAP(**kwargs)
    for epoch in range(3):
        for logits, target in batches(4, seed=epoch, soft=soft):
            ours = logits.clone().requires_grad_()
            theirs = logits.double().requires_grad_()
            value = loss(ours, target, avg_factor=len(target))
            expected = reference(theirs, target).mean()
            value.backward()
            expected.backward()
            assert_same_state(loss, reference)
            torch.testing.assert_close(
                value.double(), expected, rtol=2e-5, atol=1e-6
            )
            torch.testing.assert_close(
                ours.grad.double(), theirs.grad, rtol=2e-4, atol=1e-6
            )
        loss.rebin()
        reference.rebin()
        assert_same_state(loss, reference)


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize(
    'intra, margin, adaptive, normalize, histogram, known', SWITCHES
)
def test_equals_reference_over_three_epochs(
    intra, margin, adaptive, normalize, histogram, known, soft
):
    assert_equals_reference_over_three_epochs(
        soft,
        intra_balance=intra,
        margin=margin,
        gamma=0.8,
        adaptive=adaptive,
        normalize=normalize,
        histogram=histogram,
        class_counts=[40, 9, 9, 2] if known else None,
    )


def test_one_region_without_margin_is_cross_entropy():
    loss = GHMCWAPLoss(6, num_regions=1, gamma=0, class_counts=range(1, 7))
    logits, target = torch.randn(32, 6), torch.randint(6, (32,))
    for _ in range(2):
        torch.testing.assert_close(
            loss(logits, target), F.cross_entropy(logits, target)
        )
        loss.rebin()


def test_the_default_margin_is_balanced_softmax():
    counts = [50, 20, 20, 5, 1]
    ours = GHMCWAPLoss(5, intra_balance=False, class_counts=counts)
    theirs = LogitAdjustedLoss(5, class_counts=counts)
    logits, target = torch.randn(32, 5), torch.randint(5, (32,))
    for target_ in (target, F.one_hot(target, 5) * 0.6 + 0.08):
        torch.testing.assert_close(
            ours(logits, target_), theirs(logits, target_)
        )


def test_one_region_with_prior_is_seesaw_mitigation():
    counts = torch.tensor([50, 20, 20, 5, 1])
    ours = GHMCWAPLoss(
        5,
        num_regions=1,
        alpha=1,
        gamma=0.6,
        margin='paper',
        class_counts=counts,
    )
    seesaw = SeesawLoss(p=0.6, q=0, num_classes=5)
    logits, target = torch.randn(64, 5), torch.randint(5, (64,))
    # Seesaw counts the batch first: let it end up at the same counts.
    seesaw.cum_samples.copy_(counts - torch.bincount(target, minlength=5))
    torch.testing.assert_close(ours(logits, target), seesaw(logits, target))


def test_shares_of_one_class_equal_labels():
    make = lambda: GHMCWAPLoss(5, num_regions=7, class_counts=[9, 7, 5, 0, 2])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        by_label, by_share = make(), make()
    for _ in range(3):
        logits, target = 4 * torch.randn(16, 5), torch.randint(5, (16,))
        torch.testing.assert_close(
            by_label(logits, target),
            by_share(logits, F.one_hot(target, 5).float()),
        )
        assert torch.equal(by_label.histogram.counts, by_share.histogram.counts)
        by_label.rebin(), by_share.rebin()


def test_shares_add_up_to_whole_examples():
    loss = GHMCWAPLoss(2, num_regions=1)
    for _ in range(10):
        loss(torch.zeros(1, 2), torch.tensor([[0.3, 0.7]]))
    examples = loss.histogram.counts / 2**20
    assert examples.flatten().tolist() == pytest.approx([3, 7], abs=1e-4)


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float64]
)
def test_computes_in_float32(dtype):
    logits, target = torch.randn(8, 3).to(dtype), torch.randint(3, (8,))
    ours, plain = GHMCWAPLoss(3), GHMCWAPLoss(3)
    value = ours(logits.requires_grad_(), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, plain(logits.float(), target))
    value.backward()
    assert logits.grad.dtype == dtype


def test_counts_only_in_training():
    loss = GHMCWAPLoss(3).eval()
    loss(torch.randn(8, 3), torch.randint(3, (8,)))
    assert not loss.histogram.counts.any()
    loss.train()(torch.randn(8, 3), torch.randint(3, (8,)))
    assert loss.histogram.counts.sum() == 8 * 2**20


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('soft', [False, True])
def test_bad_logits_surface_and_are_not_counted(bad, soft):
    loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    logits = torch.randn(4, 3)
    logits[1, 2] = bad
    target = torch.tensor([0, 1, 2, 0])
    if soft:
        target = F.one_hot(target, 3).float()
    values = loss(logits, target, reduction_override='none')
    assert values.isnan().tolist() == [False, True, False, False]
    assert loss.histogram.counts.sum() == 3 * 2**20
    loss.rebin()
    assert all(
        getattr(loss.histogram, name).isfinite().all()
        for name in ('edges', 'densities', 'region_weights')
    )


def test_extreme_logits_stay_finite():
    loss = GHMCWAPLoss(4, class_counts=[1000, 100, 10, 1])
    for scale in (1e-30, 1e2, 1e4, 1e30):
        logits = (scale * torch.randn(64, 4)).requires_grad_()
        for target in (torch.randint(4, (64,)), torch.rand(64, 4)):
            value = loss(logits, target)
            value.backward()
            assert value.isfinite() and logits.grad.isfinite().all()
    loss.rebin()
    assert (loss.histogram.region_weights > 0).all()


def test_absent_class_has_no_margin():
    with pytest.warns(UserWarning, match='class 1;'):
        loss = GHMCWAPLoss(
            3, class_counts=[8, 0, 2], intra_balance=False, margin='paper'
        )
    logits = torch.randn(6, 3)
    # As a target: plain cross-entropy.
    target = torch.ones(6, dtype=torch.long)
    torch.testing.assert_close(
        loss(logits, target), F.cross_entropy(logits, target)
    )
    # As a rival: the margin matrix has a zero column.
    sizes = effective_size(loss.histogram.densities, 0.9)
    margin = margin_of(sizes, torch.tensor([0, 1, 2]), 0.8)
    assert not margin[:, 1].any() and not margin[1].any()
    assert margin[0, 2] < 0 and margin[2, 0] == 0
    # From the first epoch that it is seen in, it takes part.
    loss(logits, target)
    loss(logits, target * 0)
    loss.rebin()
    assert loss.margin_terms()[0].isfinite().all()


def test_region_edges():
    edges = torch.tensor([0, 0.25, 0.5, 1.0])
    norms = torch.tensor([0, 0.2, 0.25, 0.4999, 0.5, 0.99, 1.0])
    assert find_region(norms, edges).tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert find_region(norms, torch.tensor([0, 1.0])).tolist() == [0] * 7


def test_published_histogram_is_looked_up_on_its_own_edges():
    loss = GHMCWAPLoss(
        2,
        num_regions=4,
        histogram='previous',
        alpha=1,
        normalize='none',
        margin='none',
    )
    logits = torch.zeros(40, 2)
    logits[:30, 0] = 6
    target = torch.zeros(40, dtype=torch.long)
    loss(logits, target)
    loss.rebin()
    assert not torch.equal(
        loss.histogram.edges[0], loss.histogram.density_edges[0]
    )
    # g = 0.5 lies in the third old region, which holds 10 of 40 examples.
    assert loss.histogram.densities[0].tolist() == [30, 0, 10, 0]
    value = loss(torch.zeros(1, 2), target[:1])
    torch.testing.assert_close(value, torch.tensor(2.0).log() * 40 / 10)


def test_unseen_class_keeps_its_histogram():
    loss = GHMCWAPLoss(2, num_regions=3, class_counts=[9, 3])
    loss(torch.randn(5, 2), torch.zeros(5, dtype=torch.long))
    loss.rebin()
    assert loss.histogram.observed.tolist() == [True, False]
    assert loss.histogram.densities[1].tolist() == [1, 1, 1]
    torch.testing.assert_close(loss.histogram.edges[1], torch.arange(4) / 3)
    # A prior for a counted class would be a step back.
    before = loss.histogram.densities[0].clone()
    loss.set_class_counts([90, 30])
    assert torch.equal(loss.histogram.densities[0], before)
    assert loss.histogram.densities[1].tolist() == [10, 10, 10]


def test_counts_are_exact_past_float32():
    loss = GHMCWAPLoss(2, num_regions=1)
    loss.histogram.counts[0, 0] = 2**44
    loss(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))
    assert loss.histogram.counts[0, 0] == 2**44 + 3 * 2**20


def test_state_survives_casts_and_checkpoints():
    loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    loss(torch.randn(9, 3), torch.arange(9) % 3)
    loss.rebin()
    loss(torch.randn(9, 3), torch.arange(9) % 3)
    state = {k: v.clone() for k, v in loss.state_dict().items()}
    loss.half().to(torch.bfloat16)
    assert all(torch.equal(loss.state_dict()[k], v) for k, v in state.items())
    other = GHMCWAPLoss(3)
    other.load_state_dict(state)
    for key, value in state.items():
        assert torch.equal(other.state_dict()[key], value), key
    assert set(state) == {
        'class_counts',
        'histogram.edges',
        'histogram.counts',
        'histogram.densities',
        'histogram.density_edges',
        'histogram.observed',
        'histogram.num_epochs',
    }
    with pytest.raises(RuntimeError, match='num_classes or num_regions'):
        GHMCWAPLoss(3, num_regions=7).load_state_dict(state)
    with pytest.raises(RuntimeError, match='Missing key'):
        other.load_state_dict({})


def test_reductions():
    logits, target = torch.randn(5, 3), torch.randint(3, (5,))
    loss = GHMCWAPLoss(3, intra_balance=False, loss_weight=2)
    each = 2 * F.cross_entropy(logits, target, reduction='none')
    weight = torch.rand(5)
    check = torch.testing.assert_close
    check(loss(logits, target, reduction_override='none'), each)
    check(
        loss(logits, target, weight, reduction_override='sum'),
        (each * weight).sum(),
    )
    check(loss(logits, target, weight), (each * weight).mean())
    check(loss(logits, target, avg_factor=2), each.sum() / 2)


def test_is_registered_for_every_openmmlab_project():
    cfg = dict(type='GHMCWAPLoss', num_classes=3)
    assert isinstance(MODELS.build(cfg), GHMCWAPLoss)


@pytest.mark.parametrize(
    'kwargs, error, match',
    [
        (dict(alpha=0), ValueError, r'alpha must be in \(0, 1\], got 0'),
        (dict(alpha=1.5), ValueError, 'alpha'),
        (dict(alpha='x'), TypeError, 'alpha must be a number'),
        (dict(gamma=-1), ValueError, 'gamma'),
        (dict(gamma=float('nan')), ValueError, 'gamma'),
        (
            dict(num_regions=0),
            ValueError,
            'num_regions must be at least 1, got 0',
        ),
        (dict(num_regions=1.5), TypeError, 'num_regions must be an integer'),
        (
            dict(normalize='x'),
            ValueError,
            "normalize must be one of .* got 'x'",
        ),
        (dict(histogram='x'), ValueError, 'histogram'),
        (dict(sync='x'), ValueError, 'sync'),
        (dict(margin='x'), ValueError, 'margin'),
        (dict(reduction='x'), ValueError, 'reduction'),
        (dict(class_counts=[1, 2]), ValueError, 'num_classes=3 entries'),
        (dict(class_counts=[1, 2, -3]), ValueError, 'got -3 for class 2'),
        (dict(class_counts=[1, 2, 0.5]), TypeError, 'integers'),
        (dict(class_counts=[0, 0, 0]), ValueError, 'at least one example'),
        (dict(num_classes=0), ValueError, 'num_classes'),
    ],
)
def test_refuses_bad_arguments(kwargs, error, match):
    with pytest.raises(error, match=match):
        GHMCWAPLoss(**{'num_classes': 3, **kwargs})


@pytest.mark.parametrize(
    'logits, target, error, match',
    [
        (torch.zeros(2, 4), torch.zeros(2).long(), ValueError, 'num_classes=3'),
        (
            torch.zeros(2, 3),
            torch.tensor([0, 3]),
            ValueError,
            r'target must be in \[0, 2\], got 3',
        ),
        (torch.zeros(2, 3), torch.tensor([0, -1]), ValueError, 'got -1'),
        (torch.zeros(2, 3), torch.zeros(2), TypeError, 'integer class indices'),
        (
            torch.zeros(2, 3),
            torch.zeros(3).long(),
            ValueError,
            'target must have',
        ),
        (torch.zeros(2, 3), torch.full((2, 3), -0.1), ValueError, 'at least 0'),
        (torch.zeros(2, 3), torch.ones(2, 3).long(), TypeError, 'shares'),
        (
            torch.zeros(2, 3).long(),
            torch.zeros(2).long(),
            TypeError,
            'floating',
        ),
    ],
)
def test_refuses_bad_input_and_leaves_the_state(logits, target, error, match):
    loss = GHMCWAPLoss(3)
    before = {k: v.clone() for k, v in loss.state_dict().items()}
    with pytest.raises(error, match=match):
        loss(logits, target)
    assert all(torch.equal(loss.state_dict()[k], v) for k, v in before.items())


def test_warns_once_if_nothing_rebins():
    loss = GHMCWAPLoss(2, class_counts=[6, 2])
    logits, target = torch.randn(4, 2), torch.zeros(4, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for _ in range(3):
            loss(logits, target)
    with pytest.warns(UserWarning, match='AURARebinHook'):
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
    weights = region_weight(values, edges, alpha, normalize)
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


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.sampled_from(['previous', 'running']))
def test_order_of_the_batch_does_not_matter(seed, histogram):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(20, 3, generator=generator)
    target = torch.randint(3, (20,), generator=generator)
    order = torch.randperm(20, generator=generator)
    losses = [
        GHMCWAPLoss(3, num_regions=6, histogram=histogram) for _ in range(2)
    ]
    for _ in range(2):
        one, other = (
            loss(logits[i], target[i], reduction_override='none')
            for loss, i in zip(losses, (torch.arange(20), order))
        )
        torch.testing.assert_close(one[order], other)
        for loss in losses:
            loss.rebin()
        assert torch.equal(
            losses[0].histogram.densities, losses[1].histogram.densities
        )


@pytest.mark.parametrize('histogram', ['previous', 'running'])
@pytest.mark.parametrize('soft', [False, True])
def test_forward_reads_no_value_from_a_tensor(histogram, soft):
    """A full graph has no ``.item()`` and no branch on a tensor's value."""
    kwargs = dict(num_regions=5, class_counts=[9, 5, 3], histogram=histogram)
    compiled_loss, plain = GHMCWAPLoss(3, **kwargs), GHMCWAPLoss(3, **kwargs)
    compiled = torch.compile(compiled_loss, fullgraph=True, backend='eager')
    for _ in range(3):
        logits, target = 3 * torch.randn(8, 3), torch.randint(3, (8,))
        if soft:
            target = 0.9 * F.one_hot(target, 3) + 0.1 / 3
        torch.testing.assert_close(
            compiled(logits, target), plain(logits, target)
        )
        assert torch.equal(
            compiled_loss.histogram.counts, plain.histogram.counts
        )
        compiled_loss.rebin(), plain.rebin()
        assert torch.equal(compiled_loss.histogram.edges, plain.histogram.edges)


def test_equal_regions_stay_equal_after_loading_adaptive_ones():
    torch.manual_seed(0)
    adaptive = GHMCWAPLoss(4, class_counts=[8, 4, 2, 1])
    adaptive(torch.randn(64, 4), torch.randint(4, (64,)))
    adaptive.rebin()
    adaptive(torch.randn(64, 4), torch.randint(4, (64,)))
    equal = GHMCWAPLoss(4, class_counts=[8, 4, 2, 1], adaptive=False)
    start = equal.histogram.edges.clone()
    assert not torch.equal(adaptive.histogram.edges, start)
    equal.load_state_dict(adaptive.state_dict())
    assert torch.equal(equal.histogram.edges, start)
    # The finished epoch keeps the edges that it was counted on; what was
    # counted on other edges since is gone.
    assert torch.equal(
        equal.histogram.density_edges, adaptive.histogram.density_edges
    )
    assert torch.equal(equal.histogram.densities, adaptive.histogram.densities)
    assert not equal.histogram.counts.any() and adaptive.histogram.counts.any()
