"""Paths and labels of a user's images, for calibration."""

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from mmghm.datasets.class_counts import dataset_labels
from mmghm.datasets.image_folder import read_class_folders
from mmghm.utils.errors import UserError


def labelled_images(
    path: str, classes: Sequence[str]
) -> Tuple[List[str], np.ndarray]:
    """Read labelled images in any layout that the datasets know.

    Args:
        path (str): A folder with one folder per class, a ``.csv`` or
            ``.parquet`` table with columns ``path`` and ``label``, or a
            ``.txt`` list of ``path label``; paths are relative to the file.
        classes (Sequence[str]): Names of the model's classes, which folders
            and tables use.

    Returns:
        Tuple[List[str], np.ndarray]: Paths and labels, (n,).

    Raises:
        UserError: If there is nothing there.
    """
    place = Path(path)
    if not place.exists():
        raise UserError(f'no folder, table or list {path}')
    if place.is_dir():
        found = read_class_folders(path, classes)
        return found.paths, np.array(found.labels)
    settings: Dict[str, Any] = dict(
        ann_file=place.name,
        data_root=str(place.parent),
        pipeline=[],
        test_mode=True,
    )
    if place.suffix == '.txt':
        settings.update(type='ImageList', num_classes=len(classes))
    else:
        settings.update(type='ImageTable', metainfo=dict(classes=list(classes)))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(settings)
    labels = dataset_labels(dataset)
    if not len(labels):
        raise UserError(f'{path} holds no image')
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(labels))]
    return paths, labels
