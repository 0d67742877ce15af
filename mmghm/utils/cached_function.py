"""Results of functions of a module's state, kept until the state changes."""

from typing import Any, Callable, Tuple

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
        self._versions: Tuple[int, ...] = ()
        self._result: Any = None

    def __call__(self, *args: Any) -> Any:
        """Evaluate the function, or return what it gave last time.

        Args:
            *args (Any): Its arguments: tensors of the state, and settings.

        Returns:
            Any: Its result; not to be changed.
        """
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
        if is_compiling() or any(tensor.is_inference() for tensor in tensors):
            # Neither traced nor inference tensors have a version to read.
            with torch.no_grad():
                return self.function(*args)
        versions = tuple(tensor._version for tensor in tensors)
        if versions != self._versions or not _same(args, self._args):
            with torch.no_grad():
                self._result = self.function(*args)
            self._args, self._versions = args, versions
        return self._result

    def __reduce__(self) -> Tuple:
        return type(self), (self.function,)


def _same(args: Tuple[Any, ...], others: Tuple[Any, ...]) -> bool:
    """Whether arguments are the same tensors and equal settings."""
    if len(args) != len(others):
        return False
    for one, other in zip(args, others):
        if one is other:
            continue
        if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
            return False
        if one != other:
            return False
    return True
