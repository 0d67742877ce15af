"""The kernels' arithmetic, by Triton's interpreter.

The interpreter must be chosen before Triton is imported: test_triton_cross_entropy.py runs
this file in a process of its own.
"""

import pytest
import torch

from mmghm.models import (
    GHMCWAPLoss,
    LogitAdjustedLoss,
    ReweightedCrossEntropyLoss,
    SoftmaxFocalLoss,
)
from mmghm.models.losses.ops import triton_cross_entropy

LOSSES = {
    'cross-entropy': lambda c, n: ReweightedCrossEntropyLoss(
        c, 'none', class_counts=n
    ),
    'class weights': lambda c, n: ReweightedCrossEntropyLoss(c, class_counts=n),
    'focal': lambda c, n: SoftmaxFocalLoss(c, class_counts=n),
    'logit adjustment': lambda c, n: LogitAdjustedLoss(c, class_counts=n),
    **{
        f'ghm {options}': lambda c, n, options=options: GHMCWAPLoss(
            c, class_counts=n, num_regions=7, **options
        )
        for options in (
            {},
            dict(margin='paper'),
            dict(margin='none'),
            dict(intra_balance=False),
            dict(histogram='previous'),
        )
    },
}


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('num_classes', [3, 40])
def test_equal_the_plain_path(name, num_classes, monkeypatch):
    torch.manual_seed(0)
    counts = torch.arange(num_classes, 0, -1).tolist()
    ours = LOSSES[name](num_classes, counts)
    plain = LOSSES[name](num_classes, counts)
    for step in range(4):
        logits = 3 * torch.randn(16, num_classes)
        target = torch.randint(num_classes, (16,))
        weight = torch.rand(16) if step == 1 else None
        reduction = 'none' if step == 2 else 'mean'
        results = []
        for loss in (ours, plain):
            monkeypatch.setattr(
                triton_cross_entropy, '_works', lambda _, ok=loss is ours: ok
            )
            z = logits.clone().requires_grad_()
            value = loss(z, target, weight=weight, reduction_override=reduction)
            value.sum().backward()
            results.append((value.detach(), z.grad))
        for one, other in zip(*results):
            torch.testing.assert_close(one, other)
        if hasattr(ours, 'rebin'):
            assert torch.equal(ours.histogram.counts, plain.histogram.counts)
            if step == 2:
                ours.rebin(), plain.rebin()
                torch.testing.assert_close(
                    ours.histogram.edges, plain.histogram.edges
                )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_keep_half_precision(dtype):
    loss = GHMCWAPLoss(5, class_counts=[5, 4, 3, 2, 1])
    logits = torch.randn(8, 5).to(dtype).requires_grad_()
    target = torch.randint(5, (8,))
    assert triton_cross_entropy.is_available(logits)
    value = loss(logits, target)
    value.backward()
    assert value.dtype == torch.float32 and logits.grad.dtype == dtype


@pytest.mark.parametrize('histogram', ['running', 'previous'])
@pytest.mark.parametrize('classes', [3, 9])
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_do_not_count_bad_logits(bad, classes, histogram):
    counts = list(range(classes, 0, -1))
    loss = GHMCWAPLoss(classes, class_counts=counts, histogram=histogram)
    logits, target = torch.randn(4, classes), torch.tensor([0, 1, 2, 0])
    logits[1, 2] = bad
    values = loss(logits, target, reduction_override='none')
    assert values.isnan().tolist() == [False, True, False, False]
    assert loss.histogram.counts.sum() == 3 * 2**20


def test_take_more_classes_than_a_block():
    width = triton_cross_entropy._MAX_BLOCK + 5
    logits = torch.randn(2, width, requires_grad=True)
    target = torch.tensor([width - 1, 3])
    loss = GHMCWAPLoss(width, class_counts=[1] * width)
    expected = torch.nn.functional.cross_entropy(logits, target)
    value = loss(logits, target)
    torch.testing.assert_close(value, expected)
    ours, theirs = (
        torch.autograd.grad(v, logits, retain_graph=True)[0]
        for v in (value, expected)
    )
    torch.testing.assert_close(ours, theirs)


def test_what_does_not_work_is_not_used(monkeypatch):
    loss = GHMCWAPLoss(3, class_counts=[5, 3, 1])
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = loss(logits, target)
    assert triton_cross_entropy.is_available(logits)

    def broken(*args):
        raise RuntimeError('no C compiler')

    triton_cross_entropy._works.cache_clear()
    monkeypatch.setattr(triton_cross_entropy, '_kernels', broken)
    try:
        other = GHMCWAPLoss(3, class_counts=[5, 3, 1])
        with pytest.warns(UserWarning, match='not used .* no C compiler'):
            torch.testing.assert_close(other(logits, target), expected)
    finally:
        triton_cross_entropy._works.cache_clear()


def test_is_tried_in_inference_too():
    triton_cross_entropy._works.cache_clear()
    with torch.inference_mode():
        assert triton_cross_entropy.is_available(torch.randn(2, 3))


def test_wrong_results_are_not_used(monkeypatch):
    triton_cross_entropy._works.cache_clear()
    right = triton_cross_entropy.TritonCrossEntropy

    class Wrong:
        @staticmethod
        def apply(*args):
            return right.apply(*args) + 0.1

    monkeypatch.setattr(triton_cross_entropy, 'TritonCrossEntropy', Wrong)
    try:
        with pytest.warns(UserWarning, match='not close'):
            assert not triton_cross_entropy.is_available(torch.randn(2, 3))
    finally:
        triton_cross_entropy._works.cache_clear()
