import numpy as np
import pytest

from mmghm.datasets import ClassBalancedSampler, Digits, LongTailDataset


@pytest.fixture
def tail():
    return LongTailDataset(Digits(split='train'), 20)


@pytest.mark.parametrize('power', [0, 0.5, 1])
def test_classes_are_drawn_by_their_power(tail, power):
    sampler = ClassBalancedSampler(
        tail, power=power, num_samples=200_000, seed=0
    )
    drawn = np.bincount(tail.get_gt_labels()[list(sampler)], minlength=10)
    expected = tail.class_counts.astype(float) ** power
    np.testing.assert_allclose(
        drawn / 200_000, expected / expected.sum(), atol=0.004
    )


def test_progressive_goes_from_natural_to_balanced(tail):
    sampler = ClassBalancedSampler(tail, progressive_epochs=10, seed=0)
    labels, natural = tail.get_gt_labels(), tail.class_counts / len(tail)
    for epoch, balanced in ((0, 0), (5, 0.5), (10, 1), (99, 1)):
        sampler.set_epoch(epoch)
        share = np.bincount(labels, weights=sampler.probabilities())
        np.testing.assert_allclose(
            share, (1 - balanced) * natural + balanced * 0.1
        )


def test_is_deterministic_and_differs_by_epoch(tail):
    one, other = (ClassBalancedSampler(tail, seed=3) for _ in range(2))
    assert list(one) == list(other)
    other.set_epoch(1)
    assert list(one) != list(other)
    assert len(one) == len(list(one)) == len(tail)


def test_ranks_share_one_drawing(tail, monkeypatch):
    whole = list(ClassBalancedSampler(tail, num_samples=480, seed=0))
    parts = []
    for rank in range(3):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 3)
        )
        sampler = ClassBalancedSampler(tail, num_samples=480, seed=0)
        parts.append(list(sampler))
        assert len(sampler) == 160
    assert [i for group in zip(*parts) for i in group] == whole


@pytest.mark.parametrize('kwargs', [dict(power=2), dict(progressive_epochs=0)])
def test_refuses_bad_arguments(tail, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        ClassBalancedSampler(tail, **kwargs)
