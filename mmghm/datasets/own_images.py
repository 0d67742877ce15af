"""Find out how somebody's images are laid out."""

from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
from mmengine.fileio import get

from .image_folder import IMAGE_EXTENSIONS
from .tables import AnnotationError, check_numbers, read_list, table_classes


class OwnImages(NamedTuple):
    """Datasets of a folder, as configs.

    Args:
        classes (List[str]): Names of the C classes.
        train (dict): Config of the train set, without its pipeline.
        val (Optional[dict]): That of the validation set, None if there is
            none.
    """

    classes: List[str]
    train: dict
    val: Optional[dict]


def find_own_images(folder: str, shards: str = '') -> OwnImages:
    """Look for images in the layouts of ``configs/own_data``.

    Args:
        folder (str): Holds one of these, and perhaps the same named ``val``;
            the first that is there is taken:

            - ``train.csv`` or ``train.parquet`` (:class:`ImageTable`)
            - ``train.txt``, lines of ``path label`` (:class:`ImageList`) or
              of places in archives (:class:`ImageShards`)
            - ``train/<class>/*``
        shards (str): Where the archives are, if they are not in the folder;
            see :class:`ImageShards`.

    Returns:
        OwnImages: What was found.

    Raises:
        FileNotFoundError: If there is none of them.
        ValueError: If the table or list is malformed.
    """
    root = Path(folder)
    layouts: Dict[str, Callable[[Path, str, str], OwnImages]] = {
        'train.csv': _table,
        'train.parquet': _table,
        'train.txt': partial(_list, shards=shards),
        'train': _folders,
    }
    for train, find in layouts.items():
        if (root / train).exists():
            val = train.replace('train', 'val')
            found = find(root, train, val)
            return found if (root / val).exists() else found._replace(val=None)
    raise FileNotFoundError(
        f'{folder} holds neither train.csv, train.parquet, train.txt nor a '
        'folder train/: set DATA_ROOT to a folder with train/<class>/*, or '
        'with a train.csv that begins with the line path,label'
    )


def _table(root: Path, train: str, val: str) -> OwnImages:
    table = dict(type='ImageTable', data_root=str(root))
    return OwnImages(
        table_classes(str(root / train)),
        dict(ann_file=train, **table),
        dict(ann_file=val, classes_from=train, **table),
    )


def _list(root: Path, train: str, val: str, shards: str) -> OwnImages:
    path = str(root / train)
    try:
        table = read_list(get(path))
        number = int(table.labels.max(initial=-1)) + 1
        check_numbers(number - 1, len(np.unique(table.labels)))
    except AnnotationError as error:
        raise error.inside(path) from error
    if not number:
        raise ValueError(f'{path} lists no image')
    listed = dict(type='ImageList', data_root=str(root), num_classes=number)
    if '.tar#' in table.path(0):
        listed.update(type='ImageShards', shards=shards or str(root))
    return OwnImages(
        [str(label) for label in range(number)],
        dict(ann_file=train, **listed),
        dict(ann_file=val, **listed),
    )


def _folders(root: Path, train: str, val: str) -> OwnImages:
    classes = sorted(p.name for p in (root / train).iterdir() if p.is_dir())
    shared = dict(
        type='CustomDataset',
        metainfo=dict(classes=classes),
        extensions=IMAGE_EXTENSIONS,
    )
    return OwnImages(
        classes,
        dict(data_root=str(root / train), **shared),
        dict(data_root=str(root / val), **shared),
    )
