"""Text that comes from data, as text."""

from typing import Any

from rich.console import Console
from rich.text import Text

from mmghm.utils.errors import printable


class TextConsole(Console):
    """A console that prints names as they are: no markup, no emoji, no codes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **kwargs)

    def render_str(self, text: str, **kwargs: Any) -> Text:
        """Make rich text of text."""
        return super().render_str(printable(text), **kwargs)
