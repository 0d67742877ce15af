"""A wrapper that makes any dataset long-tailed."""

import copy
import hashlib
import json
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.registry import DATASETS

from mmghm.utils.errors import UserError

from .class_counts import dataset_labels, num_dataset_classes
from .label_noise import flip_labels, replace_label
from .profiles import profile_counts
from .subsets import choose_long_tail, split_held_out


@DATASETS.register_module()
class LongTailDataset:
    """Wrapper that makes a dataset long-tailed.

    Args:
        dataset (Union[BaseDataset, dict]): The dataset, or its config.
        imbalance_factor (float): Images of the largest class over those of
            the smallest, at least 1.
        profile (str): How sizes fall from class 0 to the last: ``'exp'``,
            ``'step'``, ``'pareto'`` or ``'none'`` (keep all), see
            :func:`profile_counts`.
        class_counts (Union[Sequence[int], Dict[str, int], None]): Sizes of the
            classes in place of the profile: one per class, or by class name
            (classes not named keep what they have).
        seed (int): Seed of the choice of images.
        cap (bool): Whether a class with fewer images than asked for gives
            all it has (ImageNet's classes are not all equally large) instead
            of raising an error.
        holdout (Union[int, float]): Images of each class, as a number or as a
            fraction in [0, 1), held out of training to choose hyper-parameters
            on; see :func:`split_held_out`.
        part (str): ``'train'`` or ``'holdout'``: which part this dataset is.
        label_noise (Optional[dict]): Wrong labels for experiments: ``rate``,
            ``kind`` and ``seed`` of :func:`flip_labels`. ``class_counts`` are
            those of the labels with noise, as a loss would see them.
        lazy_init (bool): Whether to leave reading the labels to
            :meth:`full_init`.

    Raises:
        TypeError: If ``dataset`` is neither a dataset nor a config.
        ValueError: If a class has fewer images than asked for, a class is
            unknown, or an argument is out of range.

    Examples:
        >>> from mmghm.datasets import Digits, LongTailDataset
        >>> tail = LongTailDataset(Digits(split='train'), imbalance_factor=20)
        >>> tail.class_counts[[0, -1]].tolist()
        [143, 7]
    """

    def __init__(
        self,
        dataset: Union[BaseDataset, dict],
        imbalance_factor: float = 100,
        profile: str = 'exp',
        class_counts: Union[Sequence[int], Dict[str, int], None] = None,
        seed: int = 0,
        cap: bool = False,
        holdout: Union[int, float] = 0,
        part: str = 'train',
        label_noise: Optional[dict] = None,
        lazy_init: bool = False,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if not hasattr(dataset, '__getitem__'):
            raise TypeError(
                'dataset must be a dataset or its config, got '
                f'{type(dataset).__name__}'
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UserError(f'seed must be an integer >= 0, got {seed!r}')
        # Refuse bad arguments at once, also under lazy_init.
        profile_counts(np.ones(1, dtype=np.int64), profile, imbalance_factor)
        self.dataset: Any = dataset
        self.imbalance_factor = imbalance_factor
        self.profile = profile
        self.seed = seed
        self.cap = cap
        if holdout < 0 or (holdout >= 1 and not isinstance(holdout, int)):
            raise UserError(
                'holdout must be a fraction in [0, 1) or an integer number of '
                f'images of each class, got {holdout!r}'
            )
        if part not in ('train', 'holdout'):
            raise UserError(f"part must be 'train' or 'holdout', got {part!r}")
        if part == 'holdout' and not holdout:
            raise UserError("part='holdout' needs holdout above 0, got 0")
        if label_noise is not None:
            flip_labels(np.zeros(0, dtype=np.int64), 2, **label_noise)
        self.holdout = holdout
        self.part = part
        self.label_noise = label_noise
        self._requested = class_counts
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the labels and choose the images."""
        if self._fully_initialized:
            return
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        labels = dataset_labels(self.dataset)
        num_classes = num_dataset_classes(self.dataset, labels)
        available = np.bincount(labels, minlength=num_classes)
        counts = self._resolve_counts(available)
        if self.cap:
            counts = np.minimum(counts, available)
        for label in np.flatnonzero(counts > available):
            raise UserError(
                f'class {self._class_name(int(label))} has {available[label]} '
                f'images, but {counts[label]} are asked for (profile='
                f'{self.profile!r}, imbalance_factor={self.imbalance_factor}); '
                'raise the imbalance factor, give class_counts or set cap=True'
            )
        self._indices = choose_long_tail(labels, counts, self.seed)
        if self.holdout:
            kept, held = split_held_out(
                labels[self._indices], self.holdout, self.seed
            )
            chosen = kept if self.part == 'train' else held
            self._indices = self._indices[chosen]
        self._labels = self._clean_labels = labels[self._indices]
        if self.label_noise is not None:
            self._labels = flip_labels(
                self._clean_labels, num_classes, **self.label_noise
            )
        self._class_counts = np.bincount(self._labels, minlength=num_classes)
        self._fully_initialized = True

    @property
    def metainfo(self) -> dict:
        """Metainfo of the wrapped dataset and, once initialised,
        ``class_counts`` (a list of C integers).
        """
        metainfo = copy.deepcopy(getattr(self.dataset, 'metainfo', {}))
        if self._fully_initialized:
            # Plain integers: metainfo goes into checkpoints, and torch's safe
            # loader refuses numpy arrays.
            metainfo['class_counts'] = self._class_counts.tolist()
        return metainfo

    @property
    @force_full_init
    def class_counts(self) -> np.ndarray:
        """Images per class, int64 (C,); absent classes have 0."""
        return self._class_counts.copy()

    @property
    @force_full_init
    def indices(self) -> np.ndarray:
        """Rising indices of the images in the wrapped dataset, int64 (n,)."""
        return self._indices.copy()

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Label of every image, int64 (n,)."""
        return self._labels.copy()

    @force_full_init
    def get_cat_ids(self, idx: int) -> List[int]:
        """Label of one image in a list, as MMEngine's wrappers ask for it."""
        return [int(self._labels[idx])]

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of one image, ``sample_idx`` being that of the subset."""
        info = self.dataset.get_data_info(int(self._indices[idx]))
        label = int(self._labels[idx])
        return {**info, 'gt_label': label, 'sample_idx': idx % len(self)}

    @force_full_init
    def manifest(self, path: Optional[str] = None) -> dict:
        """Say which images were chosen, so that a subset can be compared.

        Args:
            path (Optional[str]): Where to write it as JSON.

        Returns:
            dict: ``ids`` (the images' paths relative to the data root where
            they have one, else their indices in the wrapped dataset),
            ``labels``, ``class_counts``, ``imbalance_factor``, ``profile``,
            ``seed``, ``holdout``, ``part``, ``sha256`` of ids and labels; with
            noise also ``label_noise`` and ``clean_labels``.
        """
        ids = [self._sample_id(int(i)) for i in self._indices]
        labels = self._labels.tolist()
        lines = '\n'.join(f'{i} {label}' for i, label in zip(ids, labels))
        manifest = {
            'sha256': hashlib.sha256(
                lines.encode('utf-8', 'surrogateescape')
            ).hexdigest(),
            'profile': self.profile,
            'imbalance_factor': self.imbalance_factor,
            'seed': self.seed,
            'holdout': self.holdout,
            'part': self.part,
            'class_counts': self._class_counts.tolist(),
            'ids': ids,
            'labels': labels,
        }
        if self.label_noise is not None:
            manifest['label_noise'] = self.label_noise
            manifest['clean_labels'] = self._clean_labels.tolist()
        if path is not None:
            with open(path, 'w', encoding='utf-8') as file:
                json.dump(manifest, file, indent=0)
        return manifest

    @force_full_init
    def prepare_data(self, idx: int) -> Any:
        """Load one image; None if it was skipped."""
        fetch = getattr(self.dataset, 'prepare_data', self.dataset.__getitem__)
        return self._relabelled(fetch(int(self._indices[idx])), idx)

    def _relabelled(self, data: Any, idx: Any) -> Any:
        if self.label_noise is None or data is None:
            return data
        return replace_label(data, self._labels[idx])

    @force_full_init
    def __getitem__(self, idx: int) -> Any:
        data = self.prepare_data(idx)
        if data is not None:
            return data
        # MMEngine's datasets would draw from all images, chosen or not, and
        # mostly from the head.
        others = np.flatnonzero(self._labels == self._labels[idx])
        for other in np.roll(others, -int(np.searchsorted(others, idx)))[1:]:
            data = self.prepare_data(int(other))
            if data is not None:
                return data
        raise UserError(
            f'no image of class {self._class_name(int(self._labels[idx]))} can '
            'be read'
        )

    @property
    def __getitems__(self) -> Optional[Callable[[Sequence[int]], Any]]:
        """Fetch a batch, where the wrapped dataset can; else None."""
        fetch = getattr(self.dataset, '__getitems__', None)
        if fetch is None:
            return None
        self.full_init()
        return lambda i: self._relabelled(fetch(self._indices[i]), i)

    @force_full_init
    def __len__(self) -> int:
        return len(self._indices)

    def _resolve_counts(self, available: np.ndarray) -> np.ndarray:
        requested = self._requested
        if requested is None:
            return profile_counts(
                available, self.profile, self.imbalance_factor
            )
        if isinstance(requested, dict):
            counts = available.astype(np.int64)
            names = list(self.metainfo.get('classes', ()))
            for name, count in requested.items():
                if name not in names:
                    raise UserError(
                        f'class_counts names an unknown class {name!r}; the '
                        f'dataset has {", ".join(map(str, names)) or "none"}'
                    )
                if not isinstance(count, (int, np.integer)):
                    raise UserError(
                        'class_counts must be integers of at least 0, '
                        f'got {count!r} for {name!r}'
                    )
                counts[names.index(name)] = count
        else:
            counts = np.asarray(requested)
            if counts.shape != available.shape:
                raise UserError(
                    f'class_counts must have one entry for each of the '
                    f'{len(available)} classes, got shape {counts.shape}'
                )
        if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
            raise UserError(
                'class_counts must be integers of at least 0, '
                f'got {list(requested)}'
            )
        return counts.astype(np.int64)

    def _class_name(self, label: int) -> str:
        classes = self.metainfo.get('classes')
        return f'{label} ({classes[label]})' if classes else str(label)

    def _sample_id(self, index: int) -> Union[int, str]:
        if isinstance(self.dataset, LongTailDataset):
            return self.dataset._sample_id(int(self.dataset._indices[index]))
        if not hasattr(self.dataset, 'get_data_info'):
            return index
        path = self.dataset.get_data_info(index).get('img_path')
        if path is None:
            return index
        root = str(getattr(self.dataset, 'data_root', '') or '')
        return path[len(root) :].lstrip('/') if path.startswith(root) else path
