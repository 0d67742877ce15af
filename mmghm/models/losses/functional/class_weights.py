"""Weights of classes by the number of their training examples."""

import torch
from torch import Tensor

WEIGHTINGS = ('none', 'inverse', 'effective_number')


def class_weights(counts: Tensor, weighting: str, beta: float) -> Tensor:
    """Compute class weights that sum to the number of classes.

    - ``'inverse'``: proportional to 1 / n_c, class-balanced;
    - ``'effective_number'``: proportional to (1 - beta) / (1 - beta ** n_c),
      Cui et al. 2019, eq. (2); beta 0 is no weighting, beta towards 1 inverse
      frequency.

    A class without training examples weighs as one with a single example.

    Args:
        counts (Tensor): n, training examples per class, shape (C,).
        weighting (str): One of :data:`WEIGHTINGS`.
        beta (float): In [0, 1), for ``'effective_number'``.

    Returns:
        Tensor: float32 (C,), positive, sum C.
    """
    # float64: for beta near 1 and few examples 1 - beta ** n cancels.
    sizes = counts.clamp(min=1).double()
    if weighting == 'none':
        weights = torch.ones_like(sizes)
    elif weighting == 'inverse':
        weights = 1 / sizes
    else:
        weights = (1 - beta) / (1 - beta**sizes)
    return (weights * (len(weights) / weights.sum())).float()
