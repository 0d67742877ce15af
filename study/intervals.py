"""Means with 95 % intervals, and which of a table's differences are established."""

import math
from statistics import mean, stdev
from typing import List, NamedTuple, Optional, Sequence

import numpy as np
from scipy.stats import t as student

# Two-sided error that a table as a whole may have.
LEVEL = 0.05
GAIN, LOSS, TIED = 'gain', 'loss', 'tied'


class Estimate(NamedTuple):
    """A mean over seeds, or over differences paired by seed.

    Attributes:
        mean (float): The mean.
        low (Optional[float]): Lower end of Student's 95 % interval; None with
            fewer than two values.
        high (Optional[float]): Upper end.
        number (int): How many values.
        p (Optional[float]): Two-sided p of a t-test against 0.
    """

    mean: float
    low: Optional[float]
    high: Optional[float]
    number: int
    p: Optional[float]

    def text(self, form: str = '.2f') -> str:
        """Write mean and interval.

        Args:
            form (str): How a value is written; ``'+.2f'`` with its sign.

        Returns:
            str: Such as ``71.13 [68.94, 73.32]``; a single value alone.
        """
        if self.low is None:
            return f'{self.mean:{form}}'
        return f'{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]'


def estimate(values: Sequence[float], overlap: float = 0) -> Estimate:
    """Estimate a mean.

    Args:
        values (Sequence[float]): One or more values.
        overlap (float): Test images over train images, where each value is of
            another division of the same images: such values depend on each other,
            and the interval is the corrected one of Nadeau and Bengio 2003.

    Returns:
        Estimate: Equal values have an interval of no width, and p is 0, or 1
        if they are 0.
    """
    number, middle = len(values), mean(values)
    if number < 2:
        return Estimate(middle, None, None, number, None)
    error = stdev(values) * math.sqrt(1 / number + overlap)
    half = float(student.ppf(1 - LEVEL / 2, number - 1)) * error
    if error:
        p = 2 * float(student.sf(abs(middle) / error, number - 1))
    else:
        p = float(middle == 0)
    return Estimate(middle, middle - half, middle + half, number, p)


def holm(p_values: Sequence[float]) -> List[float]:
    """Correct p-values for their number (Holm 1979).

    Args:
        p_values (Sequence[float]): Of the comparisons of one table.

    Returns:
        List[float]: Adjusted, in the same order, at most 1.
    """
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    steps = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted.tolist()


def verdicts(table: Sequence[Estimate]) -> List[str]:
    """Say which differences of a table are established.

    Args:
        table (Sequence[Estimate]): All differences of the table.

    Returns:
        List[str]: ``'gain'`` or ``'loss'`` where the p-value after Holm's
        correction for the table's comparisons is below 5 %, ``'tied'`` for
        statistically tied, empty for a difference of one pair.
    """
    tested = [one for one in table if one.p is not None]
    adjusted = iter(holm([one.p for one in tested if one.p is not None]))
    found = []
    for one in table:
        if one.p is None:
            found.append('')
        elif next(adjusted) < LEVEL:
            found.append(GAIN if one.mean > 0 else LOSS)
        else:
            found.append(TIED)
    return found
