"""Paths that lists and annotations name."""

import os.path as osp

from mmghm.utils.errors import UserError


def escapes_root(path: str) -> bool:
    """Say whether a relative path is none, leaves its folder or is an address.

    An address would be asked for in a folder that is not set.

    Args:
        path (str): From a file that one need not trust.

    Returns:
        bool: Whether to refuse it.
    """
    return (
        not path or osp.isabs(path) or '..' in path.split('/') or '://' in path
    )


def join_inside(folder: str, path: str) -> str:
    """Join a path from a file that one need not trust to its folder.

    Args:
        folder (str): Folder, or the address of one.
        path (str): Relative path.

    Returns:
        str: The joined path.

    Raises:
        ValueError: If the path is empty or leads out of the folder.
    """
    if escapes_root(path):
        raise UserError(f'{path!r} leads out of {folder!r}')
    return osp.join(folder, path)
