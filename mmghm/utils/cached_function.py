"""Results of functions of a module's state, kept until the state changes."""

from typing import Any, Callable, Optional, Tuple

import torch

from .compiling import is_compiling


class CachedFunction:
    """A function of state tensors that is evaluated once per change of them.

    A tensor has changed if another one took its place or if its version
    counter has moved, which every operation in place does. Copies of a module
    (``copy.deepcopy``, pickle) begin without a result.

    Args:
        function (Callable): What to evaluate. Runs without gradients.

    Examples:
        >>> import torch
        >>> counts = torch.tensor([1.0, 2.0])
        >>> shares = CachedFunction(lambda n: n / n.sum())
        >>> shares(counts) is shares(counts)
        True
        >>> _ = counts.mul_(3)
        >>> shares(counts)
        tensor([0.3333, 0.6667])
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self._args: Tuple[Any, ...] = ()
        # Of the tensors among the arguments; None for the others.
        self._versions: Tuple[Optional[int], ...] = ()
        self._result: Any = None

    def __call__(self, *args: Any) -> Any:
        """Evaluate the function, or return what it gave last time.

        Args:
            *args (Any): Its arguments: tensors of the state, and settings.

        Returns:
            Any: Its result; not to be changed.
        """
        compiling = is_compiling()
        if not compiling and self._fits(args):
            return self._result
        with torch.no_grad():
            result = self.function(*args)
        # Neither traced nor inference tensors have a version to read.
        if not (compiling or any(map(_is_inference, args))):
            self._args, self._result = args, result
            self._versions = tuple(
                arg._version if isinstance(arg, torch.Tensor) else None
                for arg in args
            )
        return result

    def _fits(self, args: Tuple[Any, ...]) -> bool:
        """Whether these are the same, unchanged tensors and equal settings."""
        if len(args) != len(self._args):
            return False
        for arg, known, version in zip(args, self._args, self._versions):
            if version is None:
                if isinstance(arg, torch.Tensor) or arg != known:
                    return False
            elif arg is not known or arg._version != version:
                return False
        return True

    def __reduce__(self) -> Tuple:
        return type(self), (self.function,)


def _is_inference(arg: Any) -> bool:
    return isinstance(arg, torch.Tensor) and arg.is_inference()
