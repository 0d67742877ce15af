"""Progress bars."""

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Optional

from rich.progress import track


@contextmanager
def tracked(
    items: Iterable[Any],
    description: str,
    total: Optional[int] = None,
    disable: bool = False,
) -> Iterator[Iterable[Any]]:
    """Show a progress bar that ends with the block, also by an error.

    Of ``rich.progress.track`` alone an error leaves a thread behind, for which the
    process waits at its end; since Python 3.13 for ever.

    Args:
        items (Iterable[Any]): What to go through.
        description (str): What is going on.
        total (Optional[int]): How many there are, if they do not say.
        disable (bool): Whether to show nothing.

    Yields:
        Iterable[Any]: The items, once.
    """
    shown = iter(
        track(items, description=description, total=total, disable=disable)
    )
    try:
        yield shown
    finally:
        shown.close()  # type: ignore[attr-defined]  # It is a generator.
