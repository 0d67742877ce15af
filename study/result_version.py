"""Changes of what a run computes, by a version that is raised by hand.

Results name the version that they were made with. A test compares values with
those of ``tests/test_losses/golden.json``; where they change, a :class:`Change` is added
here and the file is written again.
"""

from dataclasses import dataclass
from typing import List, Tuple

VERSION = 3


@dataclass(frozen=True)
class Change:
    """What changed, and which runs give other figures since.

    Attributes:
        version (int): The first version with the change.
        what (str): A few words for readers of the results.
        methods (Tuple[str, ...]): Names of losses; empty: all.
        tasks (Tuple[str, ...]): Beginnings of tasks' names; empty: all.
        renamed (bool): Whether the methods' names belong to other losses since.
            Results from before then stand under other names, see
            :func:`~.evidence.name_of`, and are not stale.
    """

    version: int
    what: str
    methods: Tuple[str, ...] = ()
    tasks: Tuple[str, ...] = ()
    renamed: bool = False

    def touches(self, method: str, task: str) -> bool:
        """Whether a run gives other figures since.

        Args:
            method (str): Name of its loss.
            task (str): Name of its task.

        Returns:
            bool: True if it does.
        """
        return (not self.methods or method in self.methods) and (
            not self.tasks or task.startswith(self.tasks)
        )


CHANGES = (
    Change(
        2,
        'CE-DRW divides by the sum of the weights',
        methods=('effective_number_drw',),
    ),
    Change(
        2,
        "LDAM's classifier starts with rows of norm 1",
        methods=('ldam', 'ldam_drw'),
    ),
    Change(
        2,
        "the classifier starts with Kaiming's deviation, a shortened run warms "
        'up and steps down at exact fractions',
        tasks=('resnet32_', 'resnet8_cifar10_'),
    ),
    Change(
        3,
        "ghm_cwap is the paper's method; until 0.2 it had the balanced margin "
        "and W by the running epoch's histogram",
        methods=('ghm_cwap',),
        renamed=True,
    ),
    Change(
        3,
        "W comes from the finished epoch's histogram in place of the running "
        "epoch's",
        methods=('ghm_cwap_ura',),
    ),
)


def version_since(method: str, task: str) -> int:
    """The version since which a run's figures have stayed the same.

    Args:
        method (str): Name of its loss.
        task (str): Name of its task.

    Returns:
        int: 1 if they never changed.
    """
    touching = [c.version for c in CHANGES if c.touches(method, task)]
    return max(touching, default=1)


def reasons_stale(method: str, task: str, version: int) -> List[str]:
    """Why a result no longer is what a run would give.

    Args:
        method (str): Name of its loss.
        task (str): Name of its task.
        version (int): The version it was made with.

    Returns:
        List[str]: What changed since; empty if nothing did.
    """
    return [
        change.what
        for change in CHANGES
        if change.version > version
        and change.touches(method, task)
        and not change.renamed
    ]
