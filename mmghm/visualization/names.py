"""Class names in pictures."""


def abbreviate(name: str, length: int = 18) -> str:
    """Fit a class name into at least 3 characters, without formulas.

    Beginning and end with dots between them if it is longer.
    """
    text = ' '.join(name.split())
    if len(text) > length:
        end = (length - 1) // 2
        text = f'{text[: length - 1 - end]}…{text[-end:]}'
    return text.replace('$', r'\$')
