"""Settings out of a config's text, without running it."""

import ast
from typing import Any, Dict


def read_settings(text: str) -> Dict[str, Any]:
    """Read what MMEngine writes of a config: names and plain values.

    A config is Python and may do anything where it is run; one that lies
    next to checkpoints and logs is data.

    Args:
        text (str): Such as ``Config.pretty_text``.

    Returns:
        Dict[str, Any]: Values of top-level assignments that consist of
        numbers, texts, ``None``, ``True``, ``False``, lists, tuples, sets,
        dicts and ``dict(...)``. Whatever else the text holds is left out.
    """
    try:
        lines = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    settings: Dict[str, Any] = {}
    for line in lines:
        if (
            isinstance(line, ast.Assign)
            and len(line.targets) == 1
            and isinstance(line.targets[0], ast.Name)
        ):
            try:
                settings[line.targets[0].id] = _value(line.value)
            except (ValueError, TypeError, RecursionError):
                continue
    return settings


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Call):
        named = {word.arg: word.value for word in node.keywords}
        if (
            not isinstance(node.func, ast.Name)
            or node.func.id != 'dict'
            or len(node.args) > 1
            or not all(isinstance(part, ast.Dict) for part in node.args)
            or None in named
        ):
            raise ValueError('no plain value')
        # dict({'.bias': 1}): keys that are no names.
        first = _value(node.args[0]) if node.args else {}
        return {**first, **{k: _value(v) for k, v in named.items()}}
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError('no plain value')
        keys = [_value(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_value, node.values)))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(map(_value, node.elts))
    return ast.literal_eval(node)
