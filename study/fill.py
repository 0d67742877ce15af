"""Tables between the marks of a page."""

from pathlib import Path
from typing import Dict, Sequence


def fill(text: str, name: str, content: str) -> str:
    """Put content between the marks of a block.

    Args:
        text (str): A page.
        name (str): Name of the block.
        content (str): What it is to hold.

    Returns:
        str: The page; as it was if it has no such block.
    """
    begin, end = f'<!-- begin: {name} -->\n', '<!-- end -->'
    head, mark, rest = text.partition(begin)
    if not mark:
        return text
    return f'{head}{begin}{content}{rest[rest.index(end) :]}'


def fill_pages(
    pages: Sequence[Path], made: Dict[str, str], check: bool = False
) -> None:
    """Put each block into the pages that have it.

    Args:
        pages (Sequence[Path]): The pages.
        made (Dict[str, str]): Contents by the blocks' names.
        check (bool): Write nothing, and refuse what would change.

    Raises:
        ValueError: If no page has a block, or a page would change.
    """
    before = {page: page.read_text() for page in pages}
    texts = dict(before)
    for name, content in made.items():
        if not any(f'<!-- begin: {name} -->' in t for t in texts.values()):
            raise ValueError(f'no page has a block <!-- begin: {name} -->')
        texts = {page: fill(t, name, content) for page, t in texts.items()}
    stale = [str(page) for page in pages if texts[page] != before[page]]
    if check and stale:
        raise ValueError(
            f'{", ".join(stale)} are not what their files say: fill them with '
            'the command that wrote them'
        )
    if check:
        return
    for page, text in texts.items():
        page.write_text(text)
    print(f'Filled {", ".join(map(str, pages))}')
