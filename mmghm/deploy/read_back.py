"""A published folder, read by another process before it gets its name."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch

from mmghm.utils.errors import UserError
from mmghm.utils.processes import end_with_parent

from .images import ImageReader, generated_images
from .load import load_deployed, pipeline_steps
from .network import Classifier

# Largest difference of a logit that is none: another order of sums.
TOLERANCE = 1e-3


def check_folder(
    folder: Path, network: Classifier, settings: Dict[str, Any]
) -> None:
    """Make sure that others will read what was trained.

    Args:
        folder (Path): The folder.
        network (Classifier): What it was made from.
        settings (Dict[str, Any]): Its config.

    Raises:
        UserError: If it cannot be read, or gives other logits on 32 images.
    """
    reader = ImageReader(pipeline_steps(settings))
    with torch.inference_mode():
        expected = np.concatenate(
            [network(images).numpy() for images in generated_images(reader, 32)]
        )
    # A fresh interpreter, which has none of this one's registries.
    with ProcessPoolExecutor(
        1, get_context('spawn'), initializer=end_with_parent
    ) as pool:
        found = pool.submit(_logits, str(folder)).result()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise UserError(
            f'the published model differs from the trained one by '
            f'{difference:.2g} in a logit; nothing was written'
        )


def _logits(folder: str) -> np.ndarray:
    model = load_deployed(folder)
    reader = ImageReader(model.steps)
    return np.concatenate(
        [model.logits(images) for images in generated_images(reader, 32)]
    )
