"""Learning rates that fit a run of any length.

MMEngine's schedulers take epochs: with another ``train_cfg.max_epochs`` their
milestones, warm-up and period stay where they were. These take fractions of
the run, which MMEngine tells them as ``end``.
"""

import math
from typing import Any, List, Optional, Sequence

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

from mmghm.utils.errors import UserError


def warmup_factor(
    step: int, total: int, warmup: float, stairs: Optional[int] = None
) -> float:
    """Rise linearly to 1 over the first part of a run; in (0, 1].

    ``warmup`` is a fraction of the run's ``total`` steps, of which ``step`` are
    done. It rises with every step, or in so many equal stairs.
    """
    length = warmup * total
    if step >= length:
        return 1.0
    if stairs is None:
        return min((step + 1) / length, 1.0)
    # 1e-9: 3 / 5 * 5 must not fall on the stair below.
    return (math.floor(step / length * stairs + 1e-9) + 1) / stairs


class _RunLR(LRSchedulerMixin, _ParamScheduler):
    """Base: initial learning rate x warm-up x :meth:`decay`.

    Takes the arguments of MMEngine's schedulers; the runner sets ``end`` to the
    number of epochs, or under ``by_epoch=False`` of iterations. UserError unless
    ``warmup``, the part of the run with a rising rate, is in [0, 1) and the
    stairs, see :func:`warmup_factor`, are at least 1.
    """

    last_step: int

    def __init__(
        self,
        optimizer: Any,
        *,
        warmup: float = 0.0,
        warmup_stairs: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        if not 0 <= warmup < 1:
            raise UserError(
                'warmup must be a fraction of the run in [0, 1), got '
                f'{warmup!r}'
            )
        if warmup_stairs is not None and warmup_stairs < 1:
            raise UserError(
                f'warmup_stairs must be at least 1, got {warmup_stairs!r}'
            )
        self.warmup = warmup
        self.warmup_stairs = warmup_stairs
        super().__init__(optimizer, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args: Any,
        begin: int = 0,
        end: int,
        epoch_length: int,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> '_RunLR':
        """Serve ``convert_to_iter_based=True`` of MMEngine."""
        return cls(
            *args,
            begin=begin * epoch_length,
            end=end * epoch_length,
            by_epoch=False,
            **kwargs,
        )

    def decay(self, step: int, base: float) -> float:
        """Factor in [0, 1] after the warm-up, after so many steps.

        ``base`` is the initial learning rate of the parameter group.
        """
        raise NotImplementedError

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on where a run stopped, on this run's schedule.

        MMEngine would take the old run's length, so that a run that is
        resumed with more epochs would stay at its last rate.
        """
        for key in ('base_values', 'last_step', '_global_step', '_last_value'):
            setattr(self, key, state_dict[key])
        due = self._global_step - self.begin
        if self.last_step < due < self.end - self.begin:
            # It had ended, and this run is longer.
            self.last_step = due
            for group, value in zip(
                self.optimizer.param_groups, self._get_value()
            ):
                group[self.param_name] = value

    def _get_value(self) -> List[float]:
        step, total = self.last_step, self.end - self.begin
        factor = warmup_factor(step, total, self.warmup, self.warmup_stairs)
        return [
            base * factor * self.decay(step, base) for base in self.base_values
        ]


@PARAM_SCHEDULERS.register_module()
class WarmupMultiStepLR(_RunLR):
    """Warm-up, then smaller by a factor at each milestone.

    Args:
        optimizer (Any): Optimizer or its wrapper.
        milestones (Sequence[float]): Fractions of the run, each in (0, 1).
        gamma (float): Factor at a milestone, in (0, 1].
        **kwargs (Any): ``warmup``, ``warmup_stairs`` and arguments of
            MMEngine's schedulers.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[float],
        gamma: float = 0.1,
        **kwargs: Any,
    ) -> None:
        if not all(0 < milestone < 1 for milestone in milestones):
            raise UserError(
                'milestones must be fractions of the run in (0, 1), got '
                f'{list(milestones)}; epoch 160 of 200 is 0.8'
            )
        if not 0 < gamma <= 1:
            raise UserError(f'gamma must be in (0, 1], got {gamma!r}')
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, **kwargs)

    def decay(self, step: int, base: float) -> float:
        """``gamma`` to the power of the milestones passed."""
        total = self.end - self.begin
        # Rounded, so that 0.8 * 40 does not become 33 steps.
        passed = sum(step >= round(m * total, 6) for m in self.milestones)
        return self.gamma**passed


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_RunLR):
    """Warm-up, then half a cosine down to ``eta_min`` at the end of the run.

    Args:
        optimizer (Any): Optimizer or its wrapper.
        eta_min (float): Learning rate at the end, at least 0.
        **kwargs (Any): ``warmup``, ``warmup_stairs`` and arguments of
            MMEngine's schedulers.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self, optimizer: Any, eta_min: float = 0.0, **kwargs: Any
    ) -> None:
        if eta_min < 0:
            raise UserError(f'eta_min must be at least 0, got {eta_min!r}')
        self.eta_min = eta_min
        super().__init__(optimizer, **kwargs)

    def decay(self, step: int, base: float) -> float:
        """Cosine from 1 at the warm-up's end to ``eta_min / base``."""
        total = self.end - self.begin
        first = min(math.ceil(round(self.warmup * total, 6)), total - 1)
        done = max(step - first, 0) / (total - first)
        low = min(self.eta_min / base, 1.0) if base else 0.0
        return low + (1 - low) * (1 + math.cos(math.pi * done)) / 2
