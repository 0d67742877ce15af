import pytest
import torch
import torch.nn.functional as F

from mmghm.models.posthoc import (
    adjust_logits,
    choose_tau,
    learn_scales,
    nearest_class_mean,
    retrain_classifier,
    tau_normalize,
)


def blobs(counts, seed):
    generator = torch.Generator().manual_seed(seed)
    centres = 3 * torch.eye(len(counts), 6)
    labels = torch.repeat_interleave(
        torch.arange(len(counts)), torch.tensor(counts)
    )
    noise = torch.randn(len(labels), 6, generator=generator)
    return centres[labels] + noise, labels


def test_tau_normalize():
    weight = torch.randn(4, 6)
    torch.testing.assert_close(tau_normalize(weight, 0), weight)
    torch.testing.assert_close(
        tau_normalize(weight, 1).norm(dim=1), torch.ones(4)
    )
    half = tau_normalize(weight, 0.5).norm(dim=1)
    torch.testing.assert_close(half, weight.norm(dim=1).sqrt())


def test_nearest_class_mean_as_in_the_source():
    """Centred, L2-normalised, Euclidean; written out with loops."""
    features, labels = blobs([50, 20, 3, 1], 0)
    test, _ = blobs([50, 50, 50, 50], 1)
    centre = features.mean(0)
    nearest, cosines = [], []
    for x in test:
        distances, row = [], []
        for c in range(4):
            own = features[labels == c] - centre
            mean = torch.stack([f / f.norm() for f in own]).mean(0)
            mean = mean / mean.norm()
            placed = (x - centre) / (x - centre).norm()
            distances.append((placed - mean).norm())
            row.append((x - centre).norm() * (placed @ mean))
        nearest.append(torch.stack(distances).argmin())
        cosines.append(torch.stack(row))
    weight, bias = nearest_class_mean(features, labels, 5)
    scores = F.linear(test, weight, bias)
    torch.testing.assert_close(scores[:, :4], torch.stack(cosines))
    assert scores.argmax(1).equal(torch.stack(nearest))
    # No image of the last class: it is never predicted.
    assert bool((scores[:, 4] < -1e4).all()) and bool(bias.isfinite().all())


def test_logit_adjustment_subtracts_the_log_prior():
    logits = torch.randn(6, 3)
    counts = torch.tensor([80, 20, 0])
    adjusted = adjust_logits(logits, counts, 1.5)
    prior = torch.tensor([0.8, 0.2, 1.0])
    torch.testing.assert_close(adjusted, logits - 1.5 * prior.log())
    torch.testing.assert_close(adjust_logits(logits, counts, 0), logits)


def test_chooses_tau_by_macro_accuracy():
    # Overall accuracy is best without a shift, macro accuracy with one.
    labels = torch.tensor([0] * 8 + [1] * 2)
    logits = torch.tensor([[1.0, 0.0]] * 7 + [[0.2, 0.0]] + [[0.5, 0.0]] * 2)

    def scores(tau):
        return logits + tau * torch.tensor([0.0, 1.0])

    assert choose_tau(scores, labels, [0.0, 0.3, 0.6, 2.0]) == 0.6


def biased_classifier():
    features, labels = blobs([2000, 60, 20], 0)
    # The directions are right, the head's weights far too long.
    weight = torch.eye(3, 6) * torch.tensor([[3.0], [1.0], [0.5]])
    return features, labels, weight, torch.tensor([2.0, 0.0, 0.0])


def accuracy(scores, labels):
    return (scores.argmax(1) == labels).float().mean()


def test_balanced_classifiers_mend_a_biased_one():
    features, labels, weight, bias = biased_classifier()
    test_features, test_labels = blobs([300, 300, 300], 1)
    logits = F.linear(test_features, weight, bias)
    biased = accuracy(logits, test_labels)
    anew = retrain_classifier(features, labels, 3)
    assert accuracy(F.linear(test_features, *anew), test_labels) > biased + 0.05
    scales = learn_scales(F.linear(features, weight, bias), labels)
    assert accuracy(scales * logits, test_labels) > biased + 0.05


def test_recipes_of_the_source(monkeypatch):
    """0.2, batch 512, 10 and 5 passes of C x n_max, nn.Linear's start."""
    features, labels, weight, bias = biased_classifier()
    seen = []

    class Optimizer(torch.optim.SGD):
        def __init__(self, learned, lr, **options):
            super().__init__(learned, lr, **options)
            seen.append([lr, options, [p.detach().clone() for p in learned], 0])

        def step(self, *args):
            seen[-1][3] += 1
            return super().step(*args)

    monkeypatch.setattr(torch.optim, 'SGD', Optimizer)
    retrain_classifier(features, labels, 3)
    learn_scales(F.linear(features, weight, bias), labels)
    pass_ = 3 * 2000 // 512
    for (lr, options, start, steps), epochs in zip(seen, (10, 5)):
        assert lr == 0.2
        assert options == dict(momentum=0.9, weight_decay=5e-4)
        assert steps == epochs * pass_
        if epochs == 10:
            bound = 6**-0.5
            assert all(p.abs().max() <= bound for p in start)
            assert start[0].std() == pytest.approx(bound / 3**0.5, rel=0.3)
        else:
            assert start[0].tolist() == [1, 1, 1]


def test_classes_are_drawn_equally_often(monkeypatch):
    features, labels, *_ = biased_classifier()
    drawn = []
    cross_entropy = F.cross_entropy

    def spy(logits, target):
        drawn.append(target)
        return cross_entropy(logits, target)

    monkeypatch.setattr(F, 'cross_entropy', spy)
    # Class 1 of 4 is absent.
    retrain_classifier(features, labels + (labels > 0), 4, epochs=2)
    counts = torch.bincount(torch.cat(drawn), minlength=4)
    shares = counts / counts.sum()
    assert shares.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.02)
