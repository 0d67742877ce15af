"""Folders whose files may be deleted, because this package wrote them."""

import os
from pathlib import Path
from typing import Union

_MARK = '.mmghm-cache'


def own_folder(parent: Union[str, os.PathLike], name: str) -> Path:
    """Make a folder below one that the user named, for this package alone.

    It has mode 0700 and a file that marks it. What else lies in the user's
    folder is never touched.

    Args:
        parent (Union[str, os.PathLike]): The user's folder.
        name (str): Name of the folder in it.

    Returns:
        Path: The folder.

    Raises:
        PermissionError: If it belongs to somebody else or is a link, so that
            others could put their content there.
        FileExistsError: If there is such a folder and it is not marked.
    """
    folder = Path(parent) / name
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / _MARK).touch()
    except FileExistsError:
        pass
    if folder.is_symlink():
        raise PermissionError(f'{folder} is a link; a folder is needed there')
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f'{folder} belongs to another user')
    # Asked in this order, for the mark is the first file of another process
    # that makes the folder this moment.
    used = any(folder.iterdir())
    if not (folder / _MARK).exists():
        if used:
            raise FileExistsError(
                f'{folder} holds files that mmghm did not write; choose '
                'another folder'
            )
        (folder / _MARK).touch()
    folder.chmod(0o700)
    return folder
