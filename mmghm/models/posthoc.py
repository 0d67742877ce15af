"""Classifiers that are fitted after training.

Kang et al. 2020 ("Decoupling representation and classifier") keep the backbone
as it was trained and fit the classifier again; Menon et al. 2021 subtract the
class prior from its logits. Settings are those of Kang et al.'s code where a
default is given. All functions take features or logits in memory;
hyper-parameters are to be chosen on images held out of the train set, never on
the test set.
"""

from typing import Any, Callable, List, NamedTuple, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmghm.utils.errors import UserError

POSTHOC_METHODS = ('logit_adjustment', 'tau_norm', 'crt', 'lws', 'ncm')
_BATCH_SIZE = 512
# What tau is chosen from.
TAUS = {
    'logit_adjustment': np.linspace(0, 3, 31).tolist(),
    'tau_norm': np.linspace(0, 1, 11).tolist(),
}


class LinearClassifier(NamedTuple):
    """A linear layer from features to scores: weight (C, D) and bias (C,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Scores (m, C) of features (m, D)."""
        return F.linear(features, self.weight, self.bias)


def remake_classifier(
    method: str,
    trained: LinearClassifier,
    features: Tensor,
    labels: Tensor,
    class_counts: Tensor,
    tau: float = 0.0,
    **fitting: Any,
) -> LinearClassifier:
    """Fit a classifier by the name of the method.

    Args:
        method (str): One of :data:`POSTHOC_METHODS`.
        trained (LinearClassifier): As it came out of training.
        features (Tensor): Of the train images, (n, D).
        labels (Tensor): Their labels, (n,).
        class_counts (Tensor): Train images of each class, (C,).
        tau (float): Of ``'logit_adjustment'`` and ``'tau_norm'``.
        **fitting (Any): ``seed`` and ``epochs`` of ``'crt'`` and ``'lws'``; the
            others learn nothing.

    Returns:
        LinearClassifier: From features (m, D) to scores (m, C).
    """
    num_classes = len(class_counts)
    weight, bias = trained
    if method == 'logit_adjustment':
        return LinearClassifier(weight, adjust_logits(bias, class_counts, tau))
    if method == 'tau_norm':
        weight = tau_normalize(weight, tau)
        return LinearClassifier(weight, torch.zeros_like(bias))
    if method == 'ncm':
        return nearest_class_mean(features, labels, num_classes)
    if method == 'crt':
        return retrain_classifier(features, labels, num_classes, **fitting)
    if method == 'lws':
        scales = learn_scales(trained(features), labels, **fitting)
        return LinearClassifier(scales[:, None] * weight, scales * bias)
    raise UserError(
        f'method must be one of {", ".join(POSTHOC_METHODS)}, got {method!r}'
    )


def tau_normalize(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights (C, D) by a power of their norm.

    The power is in [0, 1]: 0 changes nothing, 1 makes all norms 1. The bias is
    to be dropped (Kang et al. 2020).
    """
    return weight / weight.norm(dim=1, keepdim=True).clamp(min=1e-12) ** tau


def adjust_logits(logits: Tensor, class_counts: Tensor, tau: float) -> Tensor:
    """Subtract ``tau * log(prior)`` (Menon et al. 2021, equation 9).

    Logits are of a model trained with plain cross-entropy, (n, C), or its bias,
    (C,). A class without any train image keeps its logit. With tau 0 nothing
    changes; 1 turns the train prior into a uniform one.
    """
    counts = class_counts.to(logits)
    prior = torch.where(counts > 0, counts / counts.sum(), 1.0)
    return logits - tau * prior.log()


def nearest_class_mean(
    features: Tensor, labels: Tensor, num_classes: int
) -> LinearClassifier:
    """A linear classifier that takes the class with the nearest mean.

    Features (n, D) are centred and then L2-normalised, ``cl2n`` of Kang et
    al.'s code. Here the means have unit length as well: then the nearest mean
    is that with the largest cosine, which a linear layer finds. A score is the
    cosine times the length of the centred feature; no probability comes of it
    before it is calibrated. The row of an absent class is 0, its bias the
    smallest half float.
    """
    centre = features.mean(0)
    sums = features.new_zeros(num_classes, features.size(1))
    sums.index_add_(0, labels, F.normalize(features - centre))
    means = F.normalize(sums)
    absent = torch.bincount(labels, minlength=num_classes) == 0
    lowest = torch.finfo(torch.float16).min
    bias = (-means @ centre).masked_fill(absent, lowest)
    return LinearClassifier(means, bias)


def retrain_classifier(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    epochs: int = 10,
    seed: int = 0,
) -> LinearClassifier:
    """Train a new linear classifier by class-balanced sampling (cRT).

    It starts as ``nn.Linear`` does, and sees features (n, D) with labels (n,).
    In an epoch there are as many images as if all present classes were as large
    as the largest.
    """
    generator = torch.Generator().manual_seed(seed)
    bound = features.size(1) ** -0.5

    def start(*shape: int) -> Tensor:
        drawn = torch.rand(shape, generator=generator)
        return ((2 * drawn - 1) * bound).requires_grad_()

    made = LinearClassifier(
        start(num_classes, features.size(1)), start(num_classes)
    )
    _fit(
        lambda batch: F.linear(batch, *made),
        list(made),
        features,
        labels,
        epochs,
        generator,
    )
    return LinearClassifier(*(part.detach() for part in made))


def learn_scales(
    logits: Tensor, labels: Tensor, epochs: int = 5, seed: int = 0
) -> Tensor:
    """Learn a factor (C,) for each class's logit, ``s * (W x + b)`` (LWS).

    Logits (n, C) are of the trained classifier, bias included; factors start at
    1. Epochs are those of :func:`retrain_classifier`.
    """
    generator = torch.Generator().manual_seed(seed)
    scales = torch.ones(logits.size(1), requires_grad=True)
    _fit(scales.mul, [scales], logits, labels, epochs, generator)
    return scales.detach()


def choose_tau(
    scores: Callable[[float], Tensor], labels: Tensor, taus: Sequence[float]
) -> float:
    """Find the tau with the best macro accuracy; the first of equals is taken.

    ``scores`` gives scores (n, C) of held-out images for a tau.
    """

    def macro(tau: float) -> float:
        hit = (scores(tau).argmax(1) == labels).double()
        found = [hit[labels == c].mean() for c in labels.unique()]
        return float(torch.stack(found).mean())

    return max(taus, key=macro)


def _fit(
    classify: Callable[[Tensor], Tensor],
    learned: List[Tensor],
    inputs: Tensor,
    labels: Tensor,
    epochs: int,
    generator: torch.Generator,
) -> None:
    """Minimise cross-entropy with every class drawn equally often."""
    counts = torch.bincount(labels)
    present = counts.nonzero()[:, 0]
    order, first = labels.argsort(), counts.cumsum(0) - counts
    steps = max(len(present) * int(counts.max()) // _BATCH_SIZE, 1) * epochs
    optimizer = torch.optim.SGD(learned, 0.2, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        drawn = torch.rand(2, _BATCH_SIZE, generator=generator)
        classes = present[(drawn[0] * len(present)).long()]
        chosen = order[first[classes] + (drawn[1] * counts[classes]).long()]
        loss = F.cross_entropy(classify(inputs[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
