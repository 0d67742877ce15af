"""Users' mistakes in one line."""

import re
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Type


class UserError(ValueError):
    """A mistake of the user's; its message is all there is to say."""


def printable(text: str) -> str:
    r"""Show characters that steer a terminal, as ``\x1b``.

    Args:
        text (str): Any text.

    Returns:
        str: The same but for them; line ends and tabs stay.
    """
    return ''.join(
        c if c.isprintable() or c in '\n\t' else repr(c)[1:-1] for c in text
    )


@contextmanager
def one_line_errors(program: str, debug: bool) -> Iterator[None]:
    """End with a line and exit code 2 where a user made a mistake.

    Those are :class:`UserError` and files that cannot be read or written. All
    else shows where it came from, as ever.

    Args:
        program (str): Name to begin the line with.
        debug (bool): Whether to let every traceback through.

    Yields:
        None: The context.

    Raises:
        SystemExit: In place of a mistake.
    """
    try:
        yield
    except (UserError, OSError) as error:
        if debug:
            raise
        print(f'{program}: {_in_one_line(error)}', file=sys.stderr, flush=True)
        raise SystemExit(2) from None


@contextmanager
def writing_errors(path: Any, *kinds: Type[Exception]) -> Iterator[None]:
    """Blame the disk for what a library raises in place of an ``OSError``.

    Args:
        path (Any): The file that the context writes.
        *kinds (Type[Exception]): What the library raises.

    Yields:
        None: The context.

    Raises:
        UserError: In place of them.
    """
    try:
        yield
    except kinds as error:
        raise UserError(f'cannot write {path}: {error}') from error


@contextmanager
def settings_errors() -> Iterator[None]:
    """Blame the config for what a class refuses while it is built from one.

    Yields:
        None: The context; also a decorator.

    Raises:
        UserError: In place of an argument that a class does not take, a value
            that it refuses, a name that no registry has, and a module that
            cannot be imported.
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
        raise UserError(text or type(error).__name__) from error


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        error = OSError(f'{error.strerror}: {error.filename}')
    text = ' '.join(str(error).split()) or type(error).__name__
    return printable(text)
