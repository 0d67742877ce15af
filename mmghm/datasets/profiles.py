"""How many images each class of a long-tailed set has."""

import numpy as np

from mmghm.utils.errors import UserError

# Exponent of the Pareto profile (Liu et al. 2019 report alpha = 6).
PARETO_ALPHA = 6.0
PROFILES = ('exp', 'step', 'pareto', 'none')


def profile_counts(
    available: np.ndarray, profile: str, imbalance_factor: float
) -> np.ndarray:
    """Class sizes of a long-tailed profile, falling from class 0 on.

    With C classes, ``n_max`` the largest available class and IF the imbalance
    factor (head over tail):

    - ``'exp'``: ``n_c = int(n_max * IF ** (-c / (C - 1)))`` (Cui et al. 2019,
      Cao et al. 2019), the profile of the paper's CIFAR and TinyImageNet;
    - ``'step'``: ``n_max`` for the first half, ``int(n_max / IF)`` after;
    - ``'pareto'``: ``int(n_max * x ** -6)`` with x rising evenly from 1 to
      ``IF ** (1 / 6)``, so that a power law of exponent 6 ends at ``1 / IF``;
    - ``'none'``: what is available.

    Args:
        available (np.ndarray): Images per class at hand, shape (C,).
        profile (str): One of :data:`PROFILES`.
        imbalance_factor (float): IF, at least 1.

    Returns:
        np.ndarray: int64 (C,).

    Raises:
        ValueError: If the profile is unknown or IF is below 1.

    Examples:
        >>> import numpy as np
        >>> profile_counts(np.full(10, 5000), 'exp', 50).tolist()
        [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100]
    """
    if profile not in PROFILES:
        raise UserError(
            f'profile must be one of {", ".join(PROFILES)}, got {profile!r}'
        )
    if not 1 <= imbalance_factor < float('inf'):
        raise UserError(
            'imbalance_factor is head over tail and must be at '
            f'least 1, got {imbalance_factor}'
        )
    if profile == 'none':
        return available.astype(np.int64)
    num_classes, largest = len(available), int(available.max())
    # 0 at the head, 1 at the tail; a single class is all head.
    place = np.arange(num_classes) / max(num_classes - 1, 1)
    if profile == 'exp':
        sizes = largest * (1 / imbalance_factor) ** place
    elif profile == 'step':
        head = np.arange(num_classes) < (num_classes + 1) // 2
        sizes = np.where(head, largest, largest / imbalance_factor)
    else:
        last = imbalance_factor ** (1 / PARETO_ALPHA)
        sizes = largest * (1 + (last - 1) * place) ** -PARETO_ALPHA
    # A power may round to just below the whole number it stands for.
    return np.floor(sizes * (1 + 1e-12)).astype(np.int64)
