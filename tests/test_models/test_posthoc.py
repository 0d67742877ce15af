import torch
import torch.nn.functional as F

from mmghm.models.posthoc import class_means, fit_classifier, tau_normalize


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


def test_class_means_are_unit_vectors():
    features, labels = blobs([50, 20, 3, 1], 0)
    means = class_means(features, labels, 5)
    torch.testing.assert_close(means.norm(dim=1), torch.tensor([1.0] * 4 + [0]))
    expected = F.normalize(F.normalize(features[:50]).mean(0), dim=0)
    torch.testing.assert_close(means[0], expected)


def test_balanced_classifiers_mend_a_biased_one():
    features, labels = blobs([2000, 60, 20], 0)
    test_features, test_labels = blobs([300, 300, 300], 1)
    # The directions are right, the head's weights far too long.
    weight = torch.eye(3, 6) * torch.tensor([[3.0], [1.0], [0.5]])
    bias = torch.zeros(3)

    def accuracy(w, b):
        hit = F.linear(test_features, w, b).argmax(1) == test_labels
        return hit.float().mean()

    biased = accuracy(weight, bias)
    for scale_only in (True, False):
        new_weight, new_bias = fit_classifier(
            features, labels, weight, bias, scale_only=scale_only
        )
        assert accuracy(new_weight, new_bias) > biased + 0.05
        if scale_only:
            torch.testing.assert_close(
                F.normalize(new_weight), F.normalize(weight)
            )
