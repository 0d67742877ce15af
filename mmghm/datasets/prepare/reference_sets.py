"""What is known of the public long-tailed sets, to compare one's copy with."""

import hashlib
import os.path as osp
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from mmengine.fileio import exists
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mmghm.utils.progress import tracked

from ..class_counts import dataset_class_counts
from ..long_tail import LongTailDataset


def counts_hash(class_counts: np.ndarray) -> str:
    """16 hexadecimal digits of class sizes, whatever their order."""
    text = ' '.join(map(str, sorted(class_counts.tolist(), reverse=True)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ReferenceSplit:
    """A split of a set, such as ``'train'``.

    Its config is without ``data_root``; ``largest`` and ``smallest`` are images
    of these classes; ``counts`` is a :func:`counts_hash`, empty if it is not
    known.
    """

    name: str
    dataset: Dict[str, Any]
    images: int
    classes: int
    largest: int
    smallest: int
    counts: str = ''


@dataclass(frozen=True)
class ReferenceSet:
    """A public set, in the folder below the data folder where configs look for
    it.

    ``union_counts`` is the :func:`counts_hash` of all splits together, if
    known.
    """

    folder: str
    splits: List[ReferenceSplit]
    union_counts: str = ''


def _balanced(
    name: str, each: int, classes: int, **dataset: Any
) -> ReferenceSplit:
    return ReferenceSplit(name, dataset, each * classes, classes, each, each)


def _lists(
    name: str,
    images: int,
    classes: int,
    largest: int,
    each: Dict[str, int],
    counts: str = '',
) -> List[ReferenceSplit]:
    """Train by a list, and balanced parts by their images of each class."""
    listed = dict(type='ImageList', num_classes=classes)
    train = dict(listed, ann_file=f'{name}_train.txt')
    return [
        ReferenceSplit('train', train, images, classes, largest, 5, counts),
        *(
            _balanced(part, n, classes, ann_file=f'{name}_{part}.txt', **listed)
            for part, n in each.items()
        ),
    ]


def _json(
    year: int, classes: int, *parts: Tuple[str, int, int, int]
) -> List[ReferenceSplit]:
    """Parts of iNaturalist: name, images, largest and smallest class."""
    return [
        ReferenceSplit(
            part,
            dict(type='INaturalist', ann_file=f'{part}{year}.json'),
            *(images, classes, largest, smallest),
        )
        for part, images, largest, smallest in parts
    ]


# Totals and sizes as the sets' authors give them; hashes of the sizes where all
# of these are known.
REFERENCE_SETS = {
    'tinyimagenet': ReferenceSet(
        'tiny-imagenet-200',
        [
            _balanced(part, each, 200, type='TinyImageNet', split=part)
            for part, each in (('train', 500), ('val', 50))
        ],
    ),
    'imagenet_lt': ReferenceSet(
        'imagenet',
        _lists(
            *('ImageNet_LT', 115_846, 1000, 1280, dict(val=20, test=50)),
            '6d72e16775c8863e',
        ),
    ),
    'places_lt': ReferenceSet(
        'places365_standard',
        _lists('Places_LT', 62_500, 365, 4980, dict(val=20, test=100)),
    ),
    'inat2017': ReferenceSet(
        'inat2017',
        _json(2017, 5089, ('train', 579_184, 3919, 9), ('val', 95_986, 0, 0)),
        'c147f38b6048a70c',
    ),
    'inat2018': ReferenceSet(
        'inat2018',
        _json(2018, 8142, ('train', 437_513, 1000, 2), ('val', 24_426, 3, 3)),
    ),
}


@dataclass
class SplitReport:
    """What was found of a split: images per class (C,), and faults, if any.

    The hash is of images and labels in their order, as
    :meth:`LongTailDataset.manifest` has it: equal for equal copies.
    """

    split: str
    class_counts: np.ndarray
    sha256: str
    faults: List[str] = field(default_factory=list)


def verify(
    reference: ReferenceSet, folder: str, check_files: bool = True
) -> List[SplitReport]:
    """Compare each split of a copy of a set with what is known of it.

    A list that is not there is a ``FileNotFoundError``, a malformed one a
    ``ValueError``. ``check_files`` looks for each image's file too.
    """
    reports = [
        _verify(split, folder, check_files) for split in reference.splits
    ]
    union = np.sum([report.class_counts for report in reports], axis=0)
    if reference.union_counts and counts_hash(union) != reference.union_counts:
        reports[-1].faults.append(
            'the class sizes of all splits together differ from the known ones'
        )
    return reports


def _verify(
    split: ReferenceSplit, folder: str, check_files: bool
) -> SplitReport:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(
            dict(split.dataset, data_root=folder, pipeline=[])
        )
    counts = dataset_class_counts(dataset, split.classes)
    manifest = LongTailDataset(dataset, profile='none').manifest()
    report = SplitReport(split.name, counts, manifest['sha256'])
    expected: List[Tuple[str, Any, Any]] = [
        ('images', int(counts.sum()), split.images)
    ]
    if split.largest:
        expected += [
            ('images of the largest class', int(counts.max()), split.largest),
            ('images of the smallest class', int(counts.min()), split.smallest),
        ]
    if split.counts:
        expected.append(
            ('hash of the class sizes', counts_hash(counts), split.counts)
        )
    report.faults += [
        f'{what}: {found}, known is {known}'
        for what, found, known in expected
        if found != known
    ]
    if check_files:
        paths = [osp.join(folder, path) for path in manifest['ids']]
        missing = _missing(paths, split.name)
        if missing:
            report.faults.append(
                f'{len(missing):,} files are missing, the first is {missing[0]}'
            )
    return report


def _missing(paths: Sequence[str], name: str) -> List[str]:
    # Waiting for the disk, or for a server.
    with (
        ThreadPoolExecutor(32) as pool,
        tracked(
            pool.map(exists, paths, chunksize=256),
            f'Looking for the files of {name}',
            total=len(paths),
        ) as found,
    ):
        return [path for path, there in zip(paths, found) if not there]
