"""Results of functions of a module's state, kept until the state changes."""

from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor

from .compiling import is_compiling


class CachedTerms:
    """A function of a state tensor that is evaluated once per change of it.

    The tensor has changed if another one took its place or if its version
    counter has moved, which every operation in place does. Copies of a module
    (``copy.deepcopy``, pickle) begin without a result.

    Args:
        function (Callable): What to evaluate; its first argument is the
            tensor. Runs without gradients.

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
        self._tensor: Optional[Tensor] = None
        self._version = 0
        self._settings: Tuple[Any, ...] = ()
        self._result: Any = None

    def __call__(self, tensor: Tensor, *settings: Any) -> Any:
        """Evaluate the function, or return what it gave last time.

        Args:
            tensor (Tensor): State that the result depends on.
            *settings (Any): Further arguments of the function.

        Returns:
            Any: Its result; not to be changed.
        """
        if is_compiling() or tensor.is_inference():
            # Neither traced nor inference tensors have a version to read.
            with torch.no_grad():
                return self.function(tensor, *settings)
        if (
            tensor is not self._tensor
            or tensor._version != self._version
            or settings != self._settings
        ):
            with torch.no_grad():
                self._result = self.function(tensor, *settings)
            self._tensor, self._version = tensor, tensor._version
            self._settings = settings
        return self._result

    def __reduce__(self) -> Tuple:
        return type(self), (self.function,)
