"""Labels and class counts of any MMEngine dataset."""

from typing import Any, Optional

import numpy as np
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from mmghm.utils.errors import UserError


def dataset_labels(dataset: Any) -> np.ndarray:
    """Read the label of every sample of a dataset, without loading images.

    MMEngine's wrappers, ``Subset`` and ``ConcatDataset`` of torch are looked
    through. Read are ``get_gt_labels()`` and ``gt_label`` of MMPretrain and
    MMEngine, ``targets`` of torchvision, the last tensor of a
    ``TensorDataset``, the one ``ClassLabel`` column of Hugging Face datasets,
    and ``get_cat_ids()``.

    Args:
        dataset (Any): A dataset.

    Returns:
        np.ndarray: int64 (number of samples,).

    Raises:
        TypeError: If the dataset offers none of them, or a sample has not
            exactly one label.
    """
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    try:
        labels = np.asarray(_read_labels(dataset))
    except UserError:
        raise
    except ValueError:
        # Lists of unequal length, which MMPretrain's datasets hand to numpy.
        labels = np.empty((0, 0))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    whole = labels.dtype.kind in 'iub' or not labels.size
    if labels.ndim != 1 or not whole:
        raise TypeError(
            f'{type(dataset).__name__} does not have exactly one label, a '
            'whole number, for each sample; multi-label data and detection '
            'are not supported, for other data give the loss '
            'class_counts=[...]'
        )
    return labels.astype(np.int64)


def _read_labels(dataset: Any) -> Any:
    if hasattr(dataset, 'get_gt_labels'):
        return dataset.get_gt_labels()
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([dataset_labels(d) for d in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(dataset_labels(dataset.dataset), dataset.times)
    if isinstance(dataset, ClassBalancedDataset):
        return dataset_labels(dataset.dataset)[dataset.repeat_indices]
    if isinstance(dataset, Subset):
        return dataset_labels(dataset.dataset)[list(dataset.indices)]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[-1].numpy()
    column = _label_column(dataset)
    if column is not None:
        return dataset[column]
    if hasattr(dataset, 'targets'):
        return dataset.targets
    if hasattr(dataset, 'get_data_info') and len(dataset):
        infos = (dataset.get_data_info(i) for i in range(len(dataset)))
        labels = [info.get('gt_label') for info in infos]
        if labels[0] is not None:
            return labels
    if hasattr(dataset, 'get_cat_ids'):
        try:
            return [dataset.get_cat_ids(i) for i in range(len(dataset))]
        # BaseDataset has the method, for others to implement.
        except NotImplementedError:
            pass
    raise TypeError(
        f'{type(dataset).__name__} has none of get_gt_labels(), gt_label in '
        'get_data_info(idx), targets and get_cat_ids(idx), so that its labels '
        'are unknown; give the loss class_counts=[...]'
    )


def _label_column(dataset: Any) -> Optional[str]:
    """The one column of a Hugging Face dataset that holds classes."""
    features = getattr(dataset, 'features', None)
    if not isinstance(features, dict):
        return None
    kinds = {name: type(kind).__name__ for name, kind in features.items()}
    found = [name for name, kind in kinds.items() if kind == 'ClassLabel']
    return found[0] if len(found) == 1 else None


def num_dataset_classes(dataset: Any, labels: np.ndarray) -> int:
    """Number of classes of a dataset, absent ones included.

    Where it names no classes they are counted by its labels.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    # torchvision's.
    classes = classes or getattr(dataset, 'classes', None)
    column = _label_column(dataset)
    if column is not None:
        classes = dataset.features[column].names
    if not classes and isinstance(dataset, Subset):
        return num_dataset_classes(dataset.dataset, labels)
    return len(classes) if classes else int(labels.max(initial=-1)) + 1


def dataset_class_counts(dataset: Any, num_classes: int = 0) -> np.ndarray:
    """Count the images that there are of each class.

    What MMEngine's wrappers repeat counts once: a class is not better known by
    showing its images more often.

    Args:
        dataset (Any): A dataset, see :func:`dataset_labels`.
        num_classes (int): C; 0 takes the number of classes of the dataset.
            Naming it keeps an absent last class from shortening the array.

    Returns:
        np.ndarray: int64 (C,).

    Raises:
        ValueError: If a label is not below C.
    """
    if isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):
        return dataset_class_counts(dataset.dataset, num_classes)
    counts = getattr(dataset, 'class_counts', None)
    if isinstance(dataset, ConcatDataset):
        parts = [dataset_class_counts(d, num_classes) for d in dataset.datasets]
        longest = max(map(len, parts))
        counts = sum(np.pad(p, (0, longest - len(p))) for p in parts)
    elif counts is None:
        labels = dataset_labels(dataset)
        num_classes = num_classes or num_dataset_classes(dataset, labels)
        counts = np.bincount(labels, minlength=num_classes)
    counts = np.asarray(counts)
    if num_classes and len(counts) > num_classes:
        raise UserError(
            f'{type(dataset).__name__} has labels up to {len(counts) - 1}, '
            f'but num_classes is {num_classes}'
        )
    return np.pad(counts, (0, max(num_classes - len(counts), 0)))


def imbalance_factor(class_counts: np.ndarray) -> float:
    """Images of the largest class over those of the smallest one, absent ones
    left out; NaN without any image.
    """
    kept = class_counts[class_counts > 0]
    return float(kept.max() / kept.min()) if len(kept) else float('nan')


def gini(class_counts: np.ndarray) -> float:
    """Gini coefficient of the class sizes (C,).

    Half the mean difference between two classes over the mean class size: 0 if
    all classes are equal, (C - 1) / C if one has all, NaN without any image.
    """
    ordered = np.sort(np.asarray(class_counts, dtype=np.float64))
    if not ordered.sum():
        return float('nan')
    size = len(ordered)
    ranks = np.arange(1, size + 1)
    return float((2 * ranks - size - 1) @ ordered / (size * ordered.sum()))
