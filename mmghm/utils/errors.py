"""Users' mistakes in one line."""

import re
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


class UserError(ValueError):
    """A mistake of the user's; its message is all there is to say."""


@contextmanager
def one_line_errors(tool: str, debug: bool) -> Iterator[None]:
    """End with a line and exit code 2 where a user made a mistake.

    What is no mistake shows where it came from, as ever.

    Args:
        tool (str): Name to begin the line with.
        debug (bool): Whether to let every traceback through.

    Yields:
        None: The context.

    Raises:
        SystemExit: In place of a mistake.
    """
    try:
        yield
    except Exception as error:
        if debug or not is_mistake(error):
            raise
        print(f'{tool}: {message_of(error)}', file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def is_mistake(error: BaseException) -> bool:
    """Whether an error says something about what the user gave.

    Args:
        error (BaseException): The error.

    Returns:
        bool: True for files that cannot be read or written, for what this
        package, MMEngine or MMPretrain refuse by a ``raise`` of their own, and
        for arguments that a config gives and a class does not take.
    """
    if isinstance(error, (UserError, OSError)):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    last = frames[-1]
    place = Path(last.filename).as_posix()
    if place.endswith('mmengine/registry/build_functions.py'):
        return True
    refused = (last.line or '').startswith(('raise ', 'assert '))
    ours = any(f'/{p}/' in place for p in ('mmghm', 'mmengine', 'mmpretrain'))
    return refused and ours


def message_of(error: BaseException) -> str:
    """Say in one line what was wrong.

    Args:
        error (BaseException): The error.

    Returns:
        str: Its message.
    """
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f'{error.strerror}: {error.filename}'
    # A KeyError's text is the repr of its message.
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    # MMEngine's advice on the registry, three lines and an address.
    text = re.sub(
        r' Please check whether the value of .*', '', text, flags=re.S
    )
    if isinstance(error, TypeError) and 'unexpected keyword' in text:
        text += (
            '; is it misspelt, or an argument of what _delete_ should remove?'
        )
    return ' '.join(text.split()) or type(error).__name__
