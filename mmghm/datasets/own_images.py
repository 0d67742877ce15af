"""Find out how somebody's images are laid out."""

from pathlib import Path
from typing import List, NamedTuple, Optional

from .image_table import table_classes


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


def find_own_images(folder: str) -> OwnImages:
    """Look for class folders or tables of images; ``configs/own_data`` does.

    Args:
        folder (str): Holds ``train/<class>/*`` and perhaps ``val/<class>/*``,
            or ``train.csv`` and perhaps ``val.csv`` (:class:`ImageTable`).

    Returns:
        OwnImages: What was found. If there are both, the table.

    Raises:
        FileNotFoundError: If there is neither.
        ValueError: If the table is malformed.
    """
    root = Path(folder)
    if (root / 'train.csv').is_file():
        table = dict(type='ImageTable', data_root=folder)
        return OwnImages(
            table_classes(str(root / 'train.csv')),
            dict(ann_file='train.csv', **table),
            dict(ann_file='val.csv', classes_from='train.csv', **table)
            if (root / 'val.csv').is_file()
            else None,
        )
    if (root / 'train').is_dir():
        classes = sorted(
            p.name for p in (root / 'train').iterdir() if p.is_dir()
        )
        shared = dict(type='CustomDataset', metainfo=dict(classes=classes))
        return OwnImages(
            classes,
            dict(data_root=str(root / 'train'), **shared),
            dict(data_root=str(root / 'val'), **shared)
            if (root / 'val').is_dir()
            else None,
        )
    raise FileNotFoundError(
        f'{folder} holds neither train.csv nor a folder train/: set DATA_ROOT '
        'to a folder with train/<class>/* or with a train.csv that begins '
        'with the line path,label'
    )
