"""How long a tail is."""

import numpy as np


def imbalance_factor(class_counts: np.ndarray) -> float:
    """Images of the largest class over those of the smallest one.

    Args:
        class_counts (np.ndarray): Images per class, (C,). Absent classes are
            left out.

    Returns:
        float: At least 1; NaN without any image.
    """
    kept = class_counts[class_counts > 0]
    return float(kept.max() / kept.min()) if len(kept) else float('nan')


def gini(class_counts: np.ndarray) -> float:
    """Gini coefficient of the class sizes.

    Half the mean difference between two classes over the mean class size.

    Args:
        class_counts (np.ndarray): Images per class, (C,).

    Returns:
        float: 0 if all classes are equal, (C - 1) / C if one has all; NaN
        without any image.
    """
    ordered = np.sort(np.asarray(class_counts, dtype=np.float64))
    if not ordered.sum():
        return float('nan')
    size = len(ordered)
    ranks = np.arange(1, size + 1)
    return float((2 * ranks - size - 1) @ ordered / (size * ordered.sum()))
