"""Class priors: of the data at hand, of training, and from one to the other."""

from typing import Any, List, NamedTuple, Tuple

import numpy as np

from mmghm.utils.errors import UserError

# Imbalance factors of the test sets of :func:`shifts`.
FACTORS = (50, 10, 2)
# Rows that are worked on at a time, so that memory stays small.
_ROWS = 1 << 16


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, of logits (n, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - total


def correct_prior(
    log_shares: np.ndarray, trained: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Move predictions from one class prior to another by Bayes' rule.

    ``p'(y|x)`` is proportional to ``p(y|x) * target(y) / trained(y)``: right
    where the images of a class look the same under both (label shift).

    Args:
        log_shares (np.ndarray): log p(y|x), shape (n, C).
        trained (np.ndarray): Prior that the model was trained toward, (C,),
            positive.
        target (np.ndarray): Prior of the images to classify, (C,), at least
            0; a class with 0 is never predicted.

    Returns:
        np.ndarray: log p'(y|x), shape (n, C).
    """
    with np.errstate(divide='ignore'):
        return log_softmax(log_shares + np.log(target) - np.log(trained))


def estimate_prior(
    log_shares: Any,
    trained: np.ndarray,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> np.ndarray:
    """Estimate the class prior of unlabelled images by EM.

    Saerens, Latinne and Decaestecker 2002, eq. (2.9): correct the predictions
    to the prior, take their mean as the next prior, and so on. It finds the
    prior of greatest likelihood, if the predictions are calibrated.

    Args:
        log_shares (Any): log p(y|x), shape (n, C): an array, or what gives
            such rows by slices.
        trained (np.ndarray): Prior that the model was trained toward, (C,).
        tolerance (float): It ends once no probability changes by more.
        max_steps (int): And after so many steps.

    Returns:
        np.ndarray: float64 (C,), sum 1.

    Raises:
        ValueError: If there are no images.
    """
    if not len(log_shares):
        raise UserError('the prior of no images cannot be estimated')
    prior = np.asarray(trained, dtype=np.float64)
    for _ in range(max_steps):
        total = np.zeros_like(prior)
        for start in range(0, len(log_shares), _ROWS):
            part = np.asarray(log_shares[start : start + _ROWS], np.float64)
            total += np.exp(correct_prior(part, trained, prior)).sum(axis=0)
        before, prior = prior, total / total.sum()
        if np.abs(prior - before).max() <= tolerance:
            break
    return prior


def normalize_counts(class_counts: np.ndarray) -> np.ndarray:
    """Prior of a set, positive; an absent class counts as one of a single image."""
    counts = np.maximum(np.asarray(class_counts, dtype=np.float64), 1)
    return counts / counts.sum()


class Shift(NamedTuple):
    """A test set with another class prior."""

    # Such as 'forward 50'.
    name: str
    # Images that it takes of each class, (C,).
    sizes: np.ndarray


def shifts(test_counts: np.ndarray, class_counts: np.ndarray) -> List[Shift]:
    """Test sets as in the work on unknown test priors (LADE, SADE).

    Long-tailed forward, as the train set is; uniform; backward, the tail of
    training being the head; each as large as the test images allow. From counts
    of test and of train images, (C,), of which the latter rank the classes.
    """
    there = test_counts > 0
    rank = np.empty(len(test_counts))
    by_size = np.argsort(-np.asarray(class_counts), kind='stable')
    by_size = by_size[there[by_size]]
    rank[by_size] = np.arange(len(by_size)) / max(len(by_size) - 1, 1)
    found = []
    for name, factor in [
        *((f'forward {f}', f) for f in FACTORS),
        ('uniform', 1),
        *((f'backward {f}', 1 / f) for f in FACTORS[::-1]),
    ]:
        # The largest class is 1.
        share = np.where(there, float(factor) ** -rank, 0.0)
        share /= share.max()
        most = (test_counts[there] / share[there]).min()
        sizes = np.where(there, np.maximum(np.floor(most * share), 1), 0)
        found.append(Shift(name, sizes.astype(np.int64)))
    return found


def draw_images(labels: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """Draw places in ``labels`` (n,), ``sizes`` (C,) of each class.

    Without replacement; there must be as many.
    """
    # Images by class in a random order, of which the first stay.
    keys = np.random.default_rng(seed).random(len(labels))
    order = np.lexsort((keys, labels))
    counts = np.bincount(labels, minlength=len(sizes))
    label = labels[order]
    place = np.arange(len(labels)) - (np.cumsum(counts) - counts)[label]
    return order[place < sizes[label]]


class ShiftRow(NamedTuple):
    """Overall top-1 accuracy in percent under a shift, mean and deviation."""

    # Of the shift, and how many images it has.
    name: str
    images: int
    # As the model was trained; corrected for the shift's prior, known or
    # estimated.
    trained: Tuple[float, float]
    known: Tuple[float, float]
    estimated: Tuple[float, float]
    # Total variation between the estimate and the shift's prior, 0 to 1.
    error: Tuple[float, float]


def shift_table(
    log_shares: np.ndarray,
    labels: np.ndarray,
    class_counts: np.ndarray,
    trained: np.ndarray,
    draws: int = 5,
) -> List[ShiftRow]:
    """Measure what a corrected prior gains under each of :func:`shifts`.

    From log p(y|x) of the test images, (n, C), their labels, the counts of the
    train images and the prior that the model was trained toward. Mean and
    standard deviation are over so many draws of each test set.
    """
    test_counts = np.bincount(labels, minlength=len(class_counts))
    rows = []
    for shift in shifts(test_counts, class_counts):
        target = shift.sizes / shift.sizes.sum()
        figures = []
        for seed in range(draws):
            chosen = draw_images(labels, shift.sizes, seed)
            shares = log_shares[chosen]
            prior = estimate_prior(shares, trained)
            known = correct_prior(shares, trained, target)
            estimated = correct_prior(shares, trained, prior)
            right = [
                100 * (scores.argmax(axis=1) == labels[chosen]).mean()
                for scores in (shares, known, estimated)
            ]
            figures.append((*right, np.abs(prior - target).sum() / 2))
        columns = np.array(figures)
        spread = columns.std(axis=0, ddof=1) if draws > 1 else np.zeros(4)
        pairs = zip(columns.mean(axis=0).tolist(), spread.tolist())
        rows.append(ShiftRow(shift.name, int(shift.sizes.sum()), *pairs))
    return rows
