"""Progress bars."""

from contextlib import closing
from typing import Any, ContextManager, Iterable

from rich.progress import track


def tracked(
    items: Iterable[Any], description: str, **options: Any
) -> ContextManager[Iterable[Any]]:
    """Show a progress bar that ends with the ``with`` block, also by an error.

    Of ``rich.progress.track`` alone, whose options it takes, an error leaves a
    thread behind, for which the process waits at its end; since Python 3.13
    for ever.
    """
    shown: Any = track(items, description, **options)
    return closing(shown)
