"""Samplers that draw rare classes more often."""

from typing import Any, Iterator, Optional, Sized

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from mmghm.utils.errors import UserError

from ..class_counts import dataset_labels


def sample_probabilities(labels: np.ndarray, power: float) -> np.ndarray:
    """Probability of each sample to be drawn, float64 (n,), by labels (n,).

    A class is drawn with a probability proportional to ``n_c ** power``, then
    a sample of it evenly (Kang et al. 2020, eq. 1): power 1 is the natural
    (instance-balanced) distribution, 1/2 square-root, 0 class-balanced.
    """
    counts = np.bincount(labels)
    present = counts > 0
    of_class = np.where(present, counts.clip(1).astype(float) ** power, 0)
    of_class /= of_class.sum()
    return of_class[labels] / counts[labels]


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(DefaultSampler):
    """Draw with replacement, rare classes more often than they come.

    ``power=0`` is class-aware (class-balanced), ``0.5`` square-root sampling.
    With ``progressive_epochs`` the natural distribution turns into this one
    linearly over that many epochs (Kang et al. 2020, eq. 2).

    The order depends on seed and epoch alone; ranks get disjoint parts of one
    drawing, each of the same length.

    Args:
        dataset (Sized): A dataset, see :func:`dataset_labels`.
        power (float): See :func:`sample_probabilities`, in [0, 1].
        progressive_epochs (Optional[int]): Epochs until the distribution is
            reached; None uses it from the start.
        num_samples (Optional[int]): Samples an epoch over all ranks; by
            default as many as the dataset has.
        seed (Optional[int]): The same on all ranks; by default agreed on.
        **kwargs (Any): ``shuffle`` and ``round_up`` of MMEngine's
            ``DefaultSampler``, accepted and without meaning here.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        dataset: Sized,
        power: float = 0.0,
        progressive_epochs: Optional[int] = None,
        num_samples: Optional[int] = None,
        seed: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        if not 0 <= power <= 1:
            raise UserError(f'power must be in [0, 1], got {power}')
        if progressive_epochs is not None and progressive_epochs < 1:
            raise UserError(
                f'progressive_epochs must be at least 1, got '
                f'{progressive_epochs}'
            )
        self.labels = dataset_labels(dataset)
        self.power = power
        self.progressive_epochs = progressive_epochs
        super().__init__(dataset, seed=seed, **{**kwargs, 'round_up': True})
        if num_samples is not None:
            self.num_samples = -(-num_samples // self.world_size)

    def probabilities(self) -> np.ndarray:
        """Probability of each sample in this epoch, float64 (n,), sum 1."""
        balanced = sample_probabilities(self.labels, self.power)
        if self.progressive_epochs is None:
            return balanced
        progress = min(self.epoch / self.progressive_epochs, 1)
        natural = 1 / len(self.labels)
        return (1 - progress) * natural + progress * balanced

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        mixed = np.random.SeedSequence([self.seed, self.epoch])
        generator.manual_seed(int(mixed.generate_state(1)[0]))
        drawn = torch.multinomial(
            torch.from_numpy(self.probabilities()),
            self.num_samples * self.world_size,
            replacement=True,
            generator=generator,
        )
        return iter(drawn[self.rank :: self.world_size].tolist())
