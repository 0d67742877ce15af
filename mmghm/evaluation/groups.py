"""Groups of classes by the number of their training images."""

import itertools
from typing import Dict, List, Sequence, Tuple, Union

import numpy as np

from mmghm.utils.errors import UserError

GroupRule = Union[str, Sequence[int]]
QUARTILE_NAMES = ('many', 'medium', 'few', 'rare')


def group_classes(
    class_counts: np.ndarray, rule: GroupRule
) -> Tuple[str, Dict[str, np.ndarray]]:
    """Divide classes into groups, from the head to the tail.

    - ``'quartile'``: Many, Medium, Few and Rare are four equal parts of the
      classes by rank of train count (the GHM-CWAP paper's Table 2); where C
      is no multiple of 4 the first groups are one class larger; equal counts
      are ranked by class id.
    - ``'kang'``: many > 100, medium 20 to 100, few < 20 train images (Kang et
      al. 2020 and most papers).
    - Boundaries ``b_1 > b_2 > ...``: classes with at least b_1 train images,
      then those with at least b_2, and so on, and the rest.

    Args:
        class_counts (np.ndarray): Train images per class, shape (C,).
        rule (GroupRule): One of the above.

    Returns:
        Tuple[str, Dict[str, np.ndarray]]: Name of the rule, and for each
        group the ids of its classes. A group may be empty.

    Raises:
        ValueError: If the rule is unknown or boundaries do not fall.
    """
    class_counts = np.asarray(class_counts)
    if isinstance(rule, str):
        if rule == 'quartile':
            by_rank = np.argsort(-class_counts, kind='stable')
            parts = np.array_split(by_rank, len(QUARTILE_NAMES))
            return rule, {
                name: np.sort(part) for name, part in zip(QUARTILE_NAMES, parts)
            }
        if rule == 'kang':
            _, bounded = group_classes(class_counts, (101, 20))
            return rule, dict(zip(('many', 'medium', 'few'), bounded.values()))
        raise UserError(
            "groups must be 'quartile', 'kang' or falling "
            f'boundaries, got {rule!r}'
        )
    bounds: List[int] = [int(b) for b in rule]
    if not bounds or sorted(set(bounds), reverse=True) != bounds:
        raise UserError(
            'groups as boundaries must fall strictly, such as '
            f'(100, 20), got {tuple(rule)}'
        )
    # digitize counts the boundaries at or below each count.
    place = len(bounds) - np.digitize(class_counts, bounds[::-1])
    between = (f'{b}..{a - 1}' for a, b in itertools.pairwise(bounds))
    names = [f'>={bounds[0]}', *between, f'<{bounds[-1]}']
    return (
        'bounds_' + '_'.join(map(str, bounds)),
        {name: np.flatnonzero(place == i) for i, name in enumerate(names)},
    )


def group_names(class_counts: np.ndarray, rule: GroupRule) -> List[str]:
    """The group of each class by its train images, C names."""
    names = np.empty(len(class_counts), dtype=object)
    for name, members in group_classes(class_counts, rule)[1].items():
        names[members] = name
    return names.tolist()
