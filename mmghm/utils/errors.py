"""Users' mistakes in one line."""

import errno
import re
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Type


class UserError(ValueError):
    """A mistake of the user's; its message is all there is to say."""


def printable(text: str) -> str:
    r"""Show what steers a terminal, as ``\x1b``; line ends and tabs stay."""
    return ''.join(
        c if c.isprintable() or c in '\n\t' else repr(c)[1:-1] for c in text
    )


@contextmanager
def one_line_errors(program: str, debug: bool) -> Iterator[None]:
    """End with a line and exit code 2 where a user made a mistake.

    Those are :class:`UserError` and files that cannot be read or written. All
    else shows where it came from, and so do they under ``debug``. The line
    begins with the name of the program.
    """
    try:
        yield
    except (UserError, OSError) as error:
        if debug:
            raise
        text = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            text = f'{error.strerror}: {error.filename}'
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            text = f'{error.strerror}: make room and run this again'
        text = printable(' '.join(text.split())) or type(error).__name__
        print(f'{program}: {text}', file=sys.stderr, flush=True)
        raise SystemExit(2) from None


@contextmanager
def writing_errors(path: Any, *kinds: Type[Exception]) -> Iterator[None]:
    """Blame the disk for ``kinds`` of errors that a library has for it."""
    try:
        yield
    except kinds as error:
        raise UserError(f'cannot write {path}: {error}') from error


@contextmanager
def settings_errors(part: str = '') -> Iterator[None]:
    """Blame the config for what a class refuses while it is built from one.

    A context or a decorator. ``part`` names the key of the config. :class:`UserError` takes the place of an argument
    that a class does not take, a value that it refuses, a name that no registry
    has, and a module that cannot be imported.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except (ValueError, TypeError, KeyError, ImportError) as error:
        # A KeyError's text is the repr of its message.
        text = str(error.args[0] if isinstance(error, KeyError) else error)
        # MMEngine's advice on the registry, three lines and an address.
        text = re.sub(
            r' Please check whether the value of .*', '', text, flags=re.S
        )
        # Python 3.13 asks by itself.
        if 'unexpected keyword' in text and 'Did you mean' not in text:
            text += (
                '; is it misspelt, or an argument of what _delete_ should '
                'remove?'
            )
        if isinstance(error, KeyError) and text.isidentifier():
            text = f'the config has no {text}'
        text = text or type(error).__name__
        raise UserError(f'{part}: {text}' if part else text) from error
