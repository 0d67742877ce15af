"""One run in a folder at a time, and none over another."""

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Union

from filelock import FileLock, Timeout

from mmghm.utils.errors import UserError

# What RunRecordHook writes as training begins.
RECORD = 'record'
RUN_FILE = 'run.json'
# And `mmghm test --prior`.
IN_USE_FILE = 'in_use.json'
# Of the last validation and of the last test.
PREDICTIONS = 'predictions.npz'
TEST_PREDICTIONS = 'test.npz'


def default_work_dir(file: str, configs: Path) -> str:
    """Name the folder of a run that was given none, by its config's file.

    ``work_dirs/METHOD/TASK`` for files in the folder of the package's configs,
    so that two methods on one task have folders of their own; else
    ``work_dirs/NAME``. A composed config has a file in name alone.
    """
    path = Path(file).resolve().with_suffix('')
    configs = configs.resolve()
    for folder in path.parents:
        part = path.relative_to(folder)
        # In a clone, with a package installed as well, they are other files.
        cloned = folder.name == 'configs' and (configs / f'{part}.py').exists()
        if folder == configs or cloned:
            return str(Path('work_dirs') / part)
    return str(Path('work_dirs') / path.stem)


@contextmanager
def own_work_dir(
    folder: Union[str, os.PathLike], resume: bool, is_main: bool = True
) -> Iterator[None]:
    """Keep a folder, made if it is missing, to this run for as long as it lives.

    The lock belongs to the process, so that a killed run leaves none behind
    and workers that outlive their launcher keep theirs. Only rank 0, which
    alone writes, asks for it. UserError if the folder cannot be written, belongs
    to a run that is still alive, or holds the record of another run and this one
    does not resume it.
    """
    if not is_main:
        yield
        return
    folder = Path(folder)
    note = folder / '.owner'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / '.lock', timeout=0)
        lock.acquire()
    except Timeout:
        try:
            owner = note.read_text()
        except OSError:
            owner = ''
        raise UserError(
            f'{folder} belongs to a run that is still alive '
            f'({owner or "unknown process"}): end it, wait for it, or choose '
            'another folder with --work-dir'
        ) from None
    except OSError as error:
        raise UserError(
            f'cannot write into the work dir {folder} '
            f'({error.strerror or error}); choose another with --work-dir'
        ) from error
    try:
        if (folder / RECORD / RUN_FILE).exists() and not resume:
            raise UserError(
                f'{folder} holds another run: go on with it by --resume, or '
                'choose another folder with --work-dir'
            )
        note.write_text(f'process {os.getpid()} on {socket.gethostname()}')
        yield
    finally:
        lock.release()
