"""Class names in pictures."""


def abbreviate(name: str, length: int = 18) -> str:
    """Make a class name fit, and keep matplotlib from reading it as a formula.

    Args:
        name (str): Any text.
        length (int): Characters there is room for, at least 3.

    Returns:
        str: Beginning and end with dots between them if it is longer.
    """
    text = ' '.join(name.split())
    if len(text) > length:
        end = (length - 1) // 2
        text = f'{text[: length - 1 - end]}…{text[-end:]}'
    return text.replace('$', r'\$')
