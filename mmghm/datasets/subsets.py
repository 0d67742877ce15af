"""Which images make up a long-tailed subset, and which are held out of it."""

from typing import Tuple, Union

import numpy as np


def choose_long_tail(
    labels: np.ndarray, class_counts: np.ndarray, seed: int
) -> np.ndarray:
    """Choose which samples stay in a long-tailed subset.

    Each class has one random order, fixed by the seed, of which the first
    ``n_c`` stay: the subset at a larger imbalance factor is contained in the
    one at a smaller. The same on every rank and platform.

    Args:
        labels (np.ndarray): Label of every sample, shape (n,).
        class_counts (np.ndarray): Samples to keep per class, shape (C,), at
            most as many as there are.
        seed (int): Seed of the choice, at least 0.

    Returns:
        np.ndarray: Rising int64 indices of the samples that stay.
    """
    chosen = [np.zeros(0, dtype=np.int64)]
    by_class = np.argsort(labels, kind='stable')
    starts = np.searchsorted(labels[by_class], np.arange(len(class_counts) + 1))
    for label, count in enumerate(class_counts):
        members = by_class[starts[label] : starts[label + 1]]
        order = np.random.Generator(np.random.PCG64([seed, label]))
        chosen.append(members[order.permutation(len(members))[:count]])
    return np.sort(np.concatenate(chosen))


def split_held_out(
    labels: np.ndarray, amount: Union[int, float], seed: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Hold out part of every class that has at least two images.

    The same on every rank and platform.

    Args:
        labels (np.ndarray): Labels, shape (n,).
        amount (Union[int, float]): What to hold out of each class: a number of
            images, or a fraction in (0, 1); at least one image and never all.
        seed (int): Seed of the choice.

    Returns:
        Tuple[np.ndarray, np.ndarray]: Indices that stay, indices held out.
    """
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        # Other numbers than those that chose the subset.
        generator = np.random.Generator(np.random.PCG64([seed, label, 1]))
        members = generator.permutation(np.flatnonzero(labels == label))
        number = amount
        if not isinstance(number, int):
            number = max(round(number * len(members)), 1)
        held[members[: min(number, len(members) - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
