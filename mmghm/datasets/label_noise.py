"""Wrong labels on purpose, to measure what a method does with them."""

from typing import Any

import numpy as np
import torch

from mmghm.evaluation.priors import draw_images
from mmghm.utils.errors import UserError

KINDS = ('symmetric', 'pairs')


def flip_labels(
    labels: np.ndarray,
    num_classes: int,
    rate: float,
    kind: str = 'symmetric',
    seed: int = 0,
) -> np.ndarray:
    """Give part of every class a wrong label.

    Of a class with n images ``rate * n`` are changed, rounded. The same on every
    rank and platform.

    Args:
        labels (np.ndarray): Labels, int64 (n,).
        num_classes (int): C, the number of classes.
        rate (float): Share of each class that gets another label, in [0, 1).
        kind (str): ``'symmetric'``: any other class, all equally likely, so
            that small classes receive more wrong images than they lose;
            ``'pairs'``: the next class, and the first for the last.
        seed (int): Seed of the choice, at least 0.

    Returns:
        np.ndarray: Labels with noise, int64 (n,).

    Raises:
        ValueError: If an argument is out of range, or there is no other class.
    """
    if not 0 <= rate < 1:
        raise UserError(f'rate of label noise must be in [0, 1), got {rate}')
    if kind not in KINDS:
        raise UserError(
            f'kind of label noise must be one of {KINDS}, got {kind!r}'
        )
    if num_classes < 2:
        raise UserError(
            f'label noise needs at least 2 classes, got {num_classes}'
        )
    counts = np.bincount(labels, minlength=num_classes)
    wrong = draw_images(labels, (rate * counts + 0.5).astype(int), seed)
    steps: Any = 1
    if kind == 'symmetric':
        # Other numbers than those that chose the images.
        generator = np.random.Generator(np.random.PCG64([seed, 0, 2]))
        steps = generator.integers(1, num_classes, len(wrong))
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + steps) % num_classes
    return noisy


def replace_label(data: Any, label: Any) -> Any:
    """Give what a dataset handed out another label, in place.

    That is an item with ``gt_label`` or, after ``PackInputs``,
    ``data_samples``; or a batch: a list of B items, or a dict with ``labels``,
    a tensor (B,). The label is an integer, for a batch int64 (B,).
    """
    if isinstance(data, list):
        return [replace_label(item, new) for item, new in zip(data, label)]
    if isinstance(data, dict) and 'labels' in data:
        data['labels'] = torch.as_tensor(label).to(data['labels'].device)
    elif isinstance(data, dict) and 'data_samples' in data:
        data['data_samples'].set_gt_label(int(label))
    elif isinstance(data, dict) and 'gt_label' in data:
        data['gt_label'] = int(label)
    else:
        raise TypeError(
            "label_noise needs items with 'data_samples', 'gt_label' or "
            f"'labels', got {type(data).__name__}"
        )
    return data
