"""Find out how somebody's images are laid out."""

import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from mmengine.fileio import get

from mmghm.utils.errors import UserError

from .image_folder import class_names
from .tables import check_numbers, read_list, read_table, reading

# What each part may be called; the first that is there is taken.
_PARTS = (('train',), ('val', 'valid', 'validation'), ('test',))
# Tables first: they may list the images of a folder of the same name.
_ENDINGS = ('.csv', '.parquet', '.txt', '')


class OwnImages(NamedTuple):
    """Datasets of a folder, as configs without pipelines.

    Names of the C classes are those of the train set; validation or test are
    None if there is none; ``sources`` says in words where each part comes from.
    """

    classes: List[str]
    train: dict
    val: Optional[dict]
    test: Optional[dict]
    sources: Dict[str, str]


def find_own_images(folder: str, shards: str = '') -> OwnImages:
    """Look for images in the layouts of ``configs/own_data``.

    Args:
        folder (str): Holds ``train``, and perhaps ``val`` (or ``valid``,
            ``validation``) and ``test``, each in one of these forms; the first
            that is there is taken:

            - ``train.csv`` or ``train.parquet`` (:class:`ImageTable`)
            - ``train.txt``, lines of ``path label`` (:class:`ImageList`) or
              of places in archives (:class:`ImageShards`)
            - ``train/<class>/*`` (:class:`ImageFolder`)
        shards (str): Where the archives are, if they are not in the folder;
            see :class:`ImageShards`.

    Returns:
        OwnImages: What was found.

    Raises:
        FileNotFoundError: If there is no train set.
        UserError: If a table or list is malformed.
    """
    root = Path(folder)
    train, val, test = (_find(root, names) for names in _PARTS)
    if train is None:
        raise FileNotFoundError(
            f'{folder} holds neither train.csv, train.parquet, train.txt nor a '
            'folder train/: set DATA_ROOT to a folder with train/<class>/*, or '
            'with a train.csv that begins with the line path,label'
        )
    classes = _classes(root, train)
    shown, validates, tests = (
        f'{name}/' if name and not Path(name).suffix else name
        for name in (train, val, test)
    )
    validates = validates or f'a tenth of each class of {shown}'
    tests = tests or f'{validates}, as validation'
    return OwnImages(
        classes,
        _dataset(root, train, classes, shards),
        _dataset(root, val, classes, shards) if val else None,
        _dataset(root, test, classes, shards) if test else None,
        dict(train=shown or train, val=validates, test=tests),
    )


def _find(root: Path, names: Sequence[str]) -> Optional[str]:
    files = (f'{name}{ending}' for name in names for ending in _ENDINGS)
    return next((file for file in files if (root / file).exists()), None)


def _classes(root: Path, train: str) -> List[str]:
    """Names of the classes of the train set."""
    path = str(root / train)
    if not Path(train).suffix:
        return class_names(path)
    with reading(path):
        if train.endswith('.txt'):
            table = read_list(get(path))
            number = int(table.labels.max(initial=-1)) + 1
            check_numbers(number - 1, len(np.unique(table.labels)))
            classes = [str(label) for label in range(number)]
            has_first = bool((table.labels == 0).any())
        else:
            table = read_table(path, get(path))
            classes = table.classes() if table.names else []
            has_first = not classes or classes[0] in table.names
    if not classes:
        raise UserError(f'{path} lists no image')
    if not has_first:
        warnings.warn(
            f'{path}: no image has the label 0. Labels count from 0, so that '
            f'there are {len(classes)} classes, and class 0 is without an '
            'image; subtract 1 from the labels if they were to count from 1'
        )
    return classes


def _dataset(
    root: Path, name: str, classes: List[str], shards: str
) -> Dict[str, Any]:
    """Config of one part, with the classes of the train set."""
    known = dict(metainfo=dict(classes=classes))
    if not Path(name).suffix:
        return dict(type='ImageFolder', data_root=str(root / name), **known)
    listed: Dict[str, Any] = dict(ann_file=name, data_root=str(root), **known)
    if not name.endswith('.txt'):
        return dict(type='ImageTable', **listed)
    with reading(str(root / name)):
        table = read_list(get(str(root / name)), len(classes))
    if not len(table.labels):
        raise UserError(f'{root / name} lists no image')
    listed.update(num_classes=len(classes))
    if '.tar#' in table.path(0):
        return dict(type='ImageShards', shards=shards or str(root), **listed)
    return dict(type='ImageList', **listed)
