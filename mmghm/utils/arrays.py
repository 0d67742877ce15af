"""Arrays in files."""

from pathlib import Path

import numpy as np


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz whole or not at all.

    Args:
        path (Path): The file.
        **arrays (np.ndarray): What it holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
