"""Images that a model was not trained on: what its training has recorded."""

import copy
import logging
import os
from typing import Any, Dict, Iterable, List, Optional, Tuple

from mmengine.config import Config
from mmengine.logging import print_log

from mmghm.datasets.image_lists import image_list_digest, image_paths
from mmghm.utils.errors import UserError

from .network import innermost


def calibration_loader(cfg: Config) -> Tuple[Optional[Any], str]:
    """Find images that a model was neither trained nor will be tested on.

    Args:
        cfg (Config): The config.

    Returns:
        Tuple[Optional[Any], str]: Config of a dataloader over them and what
        they are; None if the config has none.
    """
    train = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    test, val = cfg.get('test_dataloader'), cfg.get('val_dataloader')
    if train.get('holdout'):
        loader = copy.deepcopy(test or val)
        pipeline = innermost(loader.dataset).pipeline
        loader.dataset = copy.deepcopy(train)
        loader.dataset.part = 'holdout'
        innermost(loader.dataset).pipeline = pipeline
        return loader, 'images held out of the train set'
    if val and test and val.dataset != test.dataset:
        return copy.deepcopy(val), 'validation images'
    return None, ''


def check_recorded(
    part: str,
    dataset: Any,
    recorded: Optional[Dict[str, List[str]]],
    checkpoint: str,
) -> None:
    """Refuse a config whose images are not those of the training.

    Args:
        part (str): ``'train'`` or ``'val'``.
        dataset (Any): What the config has for it now.
        recorded (Optional[Dict[str, List[str]]]): Digests of the image lists
            of each part, of ``RunRecordHook``.
        checkpoint (str): Where they were found.

    Raises:
        UserError: If the training had others.
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
    """Refuse images to calibrate on that are train images.

    Args:
        train (Any): The train dataset.
        paths (Iterable[str]): The images.

    Raises:
        UserError: Naming one.
    """
    common = {*image_paths(train)} & {os.path.abspath(p) for p in paths if p}
    if common:
        raise UserError(
            f'{len(common):,} of the images to calibrate on are train images, '
            f'such as {min(common)}'
        )
