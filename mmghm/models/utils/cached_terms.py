"""Results of functions of a module's state, kept until the state changes."""

from typing import Any, Callable, List, Tuple

import torch
from torch import Tensor


class CachedTerms:
    """A function of state tensors that is evaluated once per change of them.

    A tensor has changed if another one took its place or if its version
    counter has moved, which every operation in place does. Copies of a module
    (``copy.deepcopy``, pickle) begin without a result.

    Args:
        function (Callable): What to evaluate; its first arguments are
            tensors. Runs without gradients.

    Examples:
        >>> import torch
        >>> counts = torch.tensor([1.0, 2.0])
        >>> shares = CachedTerms(lambda n: n / n.sum())
        >>> shares(counts) is shares(counts)
        True
        >>> _ = counts.mul_(3)
        >>> shares(counts)
        tensor([0.3333, 0.6667])
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self._stamps: List[Tuple[Tensor, int]] = []
        self._settings: Tuple[Any, ...] = ()
        self._result: Any = None

    def __call__(self, *tensors: Tensor, settings: Tuple[Any, ...] = ()) -> Any:
        """Evaluate the function, or return what it gave last time.

        Args:
            *tensors (Tensor): State that the result depends on.
            settings (Tuple[Any, ...]): Further arguments of the function.

        Returns:
            Any: Its result; not to be changed.
        """
        if torch.compiler.is_compiling() or any(
            tensor.is_inference() for tensor in tensors
        ):
            # Neither traced nor inference tensors have a version to read.
            with torch.no_grad():
                return self.function(*tensors, *settings)
        if (
            len(self._stamps) != len(tensors)
            or settings != self._settings
            or any(
                known is not tensor or version != tensor._version
                for tensor, (known, version) in zip(tensors, self._stamps)
            )
        ):
            with torch.no_grad():
                self._result = self.function(*tensors, *settings)
            self._stamps = [(t, t._version) for t in tensors]
            self._settings = settings
        return self._result

    def __reduce__(self) -> Tuple:
        return type(self), (self.function,)
