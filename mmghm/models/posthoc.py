"""Classifiers made anew on the features of a trained model.

Two-stage methods of Kang et al. 2020 ("Decoupling representation and
classifier"): the backbone stays as it was trained, the classifier is re-made.
All functions take features in memory; hyper-parameters are to be chosen on
images held out of the train set, never on the test set.
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def tau_normalize(weight: Tensor, tau: float) -> Tensor:
    """Divide each class's weights by a power of their norm.

    Args:
        weight (Tensor): Classifier, shape (C, D).
        tau (float): Power in [0, 1]; 0 changes nothing, 1 makes all norms 1.

    Returns:
        Tensor: Shape (C, D). The bias is to be dropped (Kang et al. 2020).
    """
    return weight / weight.norm(dim=1, keepdim=True).clamp(min=1e-12) ** tau


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean feature of each class, for nearest class mean.

    Args:
        features (Tensor): Shape (n, D).
        labels (Tensor): Shape (n,).
        num_classes (int): C, the number of classes.

    Returns:
        Tensor: Unit vectors, shape (C, D); 0 for an absent class.
    """
    sums = features.new_zeros(num_classes, features.size(1))
    sums.index_add_(0, labels, F.normalize(features))
    return F.normalize(sums)


def fit_classifier(
    features: Tensor,
    labels: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale_only: bool,
    epochs: int = 10,
    lr: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
) -> Tuple[Tensor, Tensor]:
    """Train a classifier by class-balanced sampling on fixed features.

    cRT starts anew and trains weights and bias; LWS keeps the direction of the
    trained weights and learns one factor per class (``scale_only``). SGD with
    momentum 0.9, weight decay 5e-4 and a cosine schedule.

    Args:
        features (Tensor): Shape (n, D).
        labels (Tensor): Shape (n,).
        weight (Tensor): Trained classifier, shape (C, D).
        bias (Tensor): Its bias, shape (C,).
        scale_only (bool): LWS instead of cRT.
        epochs (int): Passes of n drawn samples each.
        lr (float): Initial learning rate.
        batch_size (int): Samples a step.
        seed (int): Seed of drawing and initialisation.

    Returns:
        Tuple[Tensor, Tensor]: Weight (C, D) and bias (C,).
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(labels, minlength=len(weight))
    drawing = 1 / counts[labels].double()
    if scale_only:
        factor = torch.ones(len(weight), 1, requires_grad=True)
        learned = [factor]
    else:
        start = torch.randn(weight.shape, generator=generator)
        new_weight = (0.01 * start).requires_grad_()
        new_bias = torch.zeros_like(bias).requires_grad_()
        learned = [new_weight, new_bias]
    optimizer = torch.optim.SGD(learned, lr, momentum=0.9, weight_decay=5e-4)
    steps = max(len(labels) // batch_size, 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, epochs * steps
    )

    def classifier() -> Tuple[Tensor, Tensor]:
        if scale_only:
            return factor * weight, torch.zeros_like(bias)
        return new_weight, new_bias

    for _ in range(epochs * steps):
        chosen = torch.multinomial(
            drawing, batch_size, replacement=True, generator=generator
        )
        logits = F.linear(features[chosen], *classifier())
        loss = F.cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    final_weight, final_bias = classifier()
    return final_weight.detach(), final_bias.detach()
