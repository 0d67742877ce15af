"""Arrays in files."""

from pathlib import Path
from typing import Callable

import numpy as np


def write_arrays(
    path: Path, save: Callable[..., None] = np.savez, /, **arrays: np.ndarray
) -> None:
    """Write an .npz, and its folder, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        save(file, **arrays)
    partial.replace(path)
