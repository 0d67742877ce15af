"""Images to calibrate on, which a model was not trained on."""

import copy
import logging
import math
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from mmghm.datasets.image_folder import read_class_folders
from mmghm.datasets.image_list import ImageList
from mmghm.datasets.image_lists import image_list_digest, image_paths
from mmghm.datasets.image_table import ImageTable
from mmghm.utils.errors import UserError
from mmghm.utils.progress import tracked

from .images import Found, ImageReader, read_images
from .network import Classifier, innermost

_BATCH_SIZE = 128


def calibration_loader(cfg: Config) -> Tuple[Optional[Any], str]:
    """Find images that a model was not trained on.

    Gives the config of a dataloader over them, and what they are; None if the
    config has none. Images held out of the train set may be the test images as
    well, and what they are then says so; other test images are never taken.
    """
    train = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    test, val = cfg.get('test_dataloader'), cfg.get('val_dataloader')
    if train.get('holdout'):
        loader = copy.deepcopy(test or val)
        pipeline = innermost(loader.dataset).pipeline
        loader.dataset = copy.deepcopy(train)
        loader.dataset.part = 'holdout'
        innermost(loader.dataset).pipeline = pipeline
        what = 'images held out of the train set'
        if loader.dataset == (test or val).dataset:
            what += ', which are the test images too'
        return loader, what
    if val and test and val.dataset != test.dataset:
        return copy.deepcopy(val), 'validation images'
    return None, ''


def check_recorded(
    part: str,
    dataset: Any,
    recorded: Optional[Dict[str, List[str]]],
    checkpoint: str,
) -> None:
    """Refuse a config whose images of a part are not those of the training.

    ``dataset`` is what the config has for ``'train'`` or ``'val'`` now,
    ``recorded`` the digests that ``RunRecordHook`` left in the checkpoint.
    """
    known = (recorded or {}).get(part)
    if not known:
        print_log(
            f'{checkpoint} does not say which images its training had for '
            f'{part}: taken as the config says, unchecked',
            'current',
            logging.WARNING,
        )
    elif known != [image_list_digest(dataset)]:
        raise UserError(
            f'the training of {checkpoint} had other images for {part} than '
            f'the {len(dataset):,} of this config: give the config that it '
            'was trained with, with the same holdout'
        )


def check_apart(train: Any, paths: Iterable[str]) -> None:
    """Refuse images to calibrate on that are train images."""
    common = {*image_paths(train)} & {os.path.abspath(p) for p in paths if p}
    if common:
        raise UserError(
            f'{len(common):,} of the images to calibrate on are train images, '
            f'such as {min(common)}'
        )


def labelled_images(
    path: str, classes: Sequence[str]
) -> Tuple[List[str], np.ndarray]:
    """Read paths and labels, (n,), in any layout that the datasets know.

    A folder with one folder per class, a ``.csv`` or ``.parquet`` table with
    columns ``path`` and ``label``, or a ``.txt`` list of ``path label``; paths
    are relative to the file. Folders and tables use the names of the model's
    classes. A UserError says that there is nothing there.
    """
    place = Path(path)
    if not place.exists():
        raise UserError(f'no folder, table or list {path}')
    if place.is_dir():
        found = read_class_folders(path, classes)
        return found.paths, np.array(found.labels)
    settings: Dict[str, Any] = dict(data_root=str(place.parent), pipeline=[])
    if place.suffix == '.txt':
        settings['num_classes'] = len(classes)
        dataset: Any = ImageList(place.name, **settings)
    else:
        settings['metainfo'] = dict(classes=list(classes))
        dataset = ImageTable(place.name, **settings)
    return (
        [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))],
        dataset.get_gt_labels(),
    )


@torch.inference_mode()
def file_logits(
    network: Classifier,
    steps: Sequence[dict],
    paths: Sequence[str],
    num_classes: int,
) -> np.ndarray:
    """Logits, float32 (n, C), of images in n files.

    A UserError names the first image that cannot be read.
    """
    batches = read_images(
        map(Found, paths), ImageReader(steps), _BATCH_SIZE, num_workers=2
    )
    number = math.ceil(len(paths) / _BATCH_SIZE)
    logits = []
    with tracked(batches, 'calibration images', total=number) as shown:
        for batch in shown:
            for path, error in zip(batch.paths, batch.errors):
                if error:
                    raise UserError(f'cannot read {path}: {error}')
            logits.append(
                batch.logits(
                    lambda images: network(images).numpy(), num_classes
                )
            )
    return np.concatenate(logits)
