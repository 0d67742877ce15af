"""Settings out of a config's text, without running it."""

import ast
from typing import Any, Dict


class _Dicts(ast.NodeTransformer):
    """Write ``dict(a=1)``, which is no literal, as ``{'a': 1}``."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        # dict({'.bias': 1}): keys that are no names.
        first = node.args[0] if node.args else ast.Dict([], [])
        if (
            not isinstance(node.func, ast.Name)
            or node.func.id != 'dict'
            or len(node.args) > 1
            or not isinstance(first, ast.Dict)
            or any(word.arg is None for word in node.keywords)
        ):
            raise ValueError('no plain value')
        return ast.Dict(
            [*first.keys, *(ast.Constant(word.arg) for word in node.keywords)],
            [*first.values, *(word.value for word in node.keywords)],
        )


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
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    settings[name] = ast.literal_eval(_Dicts().visit(value))
                except (ValueError, TypeError, RecursionError):
                    continue
    return settings
