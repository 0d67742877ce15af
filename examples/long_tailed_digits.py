"""Scikit-learn's digits as tensors, long-tailed, for the examples."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.utils.data import TensorDataset

from mmghm.datasets import choose_long_tail, profile_counts


class LongTailedDigits(NamedTuple):
    """Train set at imbalance factor 20, test set, train images per class."""

    train: TensorDataset
    test: TensorDataset
    class_counts: list


def load(seed: int = 0) -> LongTailedDigits:
    """Split the digits in halves and make the train half long-tailed."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target)
    half = np.random.default_rng(seed).permutation(len(labels))
    train, test = np.split(half, [len(half) // 2])
    available = np.bincount(labels[train])
    # The smallest class bounds the largest: the profile asks for no more
    # images than there are.
    counts = profile_counts(np.full(10, available.min()), 'exp', 20)
    train = train[choose_long_tail(labels[train].numpy(), counts, seed)]
    return LongTailedDigits(
        TensorDataset(images[train], labels[train]),
        TensorDataset(images[test], labels[test]),
        counts.tolist(),
    )


def macro_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Mean accuracy over the classes, in percent."""
    hits = (predictions == labels).double()
    per_class = [hits[labels == c].mean() for c in labels.unique()]
    return 100 * float(torch.stack(per_class).mean())
