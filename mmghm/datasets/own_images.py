"""Find out how somebody's images are laid out."""

import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from mmengine.fileio import get

from mmghm.utils.errors import UserError

from .image_folder import class_names
from .tables import AnnotationError, check_numbers, read_list, read_table

# What each part may be called; the first that is there is taken.
_PARTS = {
    'train': ('train',),
    'val': ('val', 'valid', 'validation'),
    'test': ('test',),
}
# Tables first: they may list the images of a folder of the same name.
_ENDINGS = ('.csv', '.parquet', '.txt', '')


class OwnImages(NamedTuple):
    """Datasets of a folder, as configs.

    Args:
        classes (List[str]): Names of the C classes, which are those of the
            train set.
        train (dict): Config of the train set, without its pipeline.
        val (Optional[dict]): That of the validation set, None if there is
            none.
        test (Optional[dict]): That of the test set, None if there is none.
        sources (Dict[str, str]): Where each part comes from, in words.
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
    names = {part: _find(root, names) for part, names in _PARTS.items()}
    train = names['train']
    if train is None:
        raise FileNotFoundError(
            f'{folder} holds neither train.csv, train.parquet, train.txt nor a '
            'folder train/: set DATA_ROOT to a folder with train/<class>/*, or '
            'with a train.csv that begins with the line path,label'
        )
    classes = _classes(root, train)
    parts = {
        part: None if name is None else _dataset(root, name, classes, shards)
        for part, name in names.items()
    }
    shown = {
        part: name if name is None or Path(name).suffix else f'{name}/'
        for part, name in names.items()
    }
    val = shown['val'] or f'a tenth of each class of {shown["train"]}'
    return OwnImages(
        classes,
        parts['train'] or {},
        parts['val'],
        parts['test'],
        dict(
            train=shown['train'] or '',
            val=val,
            test=shown['test'] or f'{val}, as validation',
        ),
    )


def _find(root: Path, names: tuple) -> Optional[str]:
    for name in names:
        for ending in _ENDINGS:
            if (root / f'{name}{ending}').exists():
                return f'{name}{ending}'
    return None


def _classes(root: Path, train: str) -> List[str]:
    """Names of the classes of the train set."""
    path = str(root / train)
    if not Path(train).suffix:
        return class_names(path)
    try:
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
    except AnnotationError as error:
        raise error.inside(path) from error
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
    if not Path(name).suffix:
        return dict(
            type='ImageFolder',
            data_root=str(root / name),
            metainfo=dict(classes=classes),
        )
    listed: Dict[str, Any] = dict(ann_file=name, data_root=str(root))
    if not name.endswith('.txt'):
        return dict(type='ImageTable', metainfo=dict(classes=classes), **listed)
    try:
        table = read_list(get(str(root / name)), len(classes))
    except AnnotationError as error:
        raise error.inside(str(root / name)) from error
    if not len(table.labels):
        raise UserError(f'{root / name} lists no image')
    listed.update(num_classes=len(classes), metainfo=dict(classes=classes))
    if '.tar#' in table.path(0):
        return dict(type='ImageShards', shards=shards or str(root), **listed)
    return dict(type='ImageList', **listed)
