"""Paths from lists and annotations, which one need not trust."""

import os.path as osp

from mmghm.utils.errors import UserError


def escapes_root(path: str) -> bool:
    """Say whether a relative path is none, leaves its folder or is an address.

    An address would be asked for in a folder that is not set.
    """
    return (
        not path or osp.isabs(path) or '..' in path.split('/') or '://' in path
    )


def join_inside(folder: str, path: str) -> str:
    """Join a path to a folder or address, refusing what leads out of it."""
    if escapes_root(path):
        raise UserError(f'{path!r} leads out of {folder!r}')
    return osp.join(folder, path)
