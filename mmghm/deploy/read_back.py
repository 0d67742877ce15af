"""A published folder, read by another process before it gets its name."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch

from mmghm.utils.errors import UserError
from mmghm.utils.processes import end_with_parent

from .images import generated_images
from .load import load_deployed, pipeline_steps
from .network import Classifier

# Largest difference of a logit that is none: another order of sums.
TOLERANCE = 1e-3


def check_folder(
    folder: Path, network: Classifier, settings: Dict[str, Any]
) -> None:
    """Make sure that others will read what was trained.

    A UserError says that the folder cannot be read, or gives other logits on 32
    images than the network that it was made from.
    """
    (images,) = generated_images(pipeline_steps(settings), 32)
    with torch.inference_mode():
        expected = network(images).numpy()
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
    (images,) = generated_images(model.steps, 32)
    return model.logits(images)
