"""A network compared with the header of a file, before it takes memory."""

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional, Sequence, Tuple

import torch
from torch.overrides import TorchFunctionMode

from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

Shapes = Dict[str, Tuple[int, ...]]
# What makes tensors as large as a config says. The values of others, such as
# torch.linspace, are read while networks are built.
_FACTORIES = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand),
    *(torch.randn, torch.randint, torch.randperm, torch.arange, torch.eye),
}
# Tensors that a network may make for one that it keeps, and for none.
_MADE_EACH, _MADE_ANYHOW = 16, 1000
# Bytes of buffers that no file holds, such as positions, beside the weights.
_UNSAVED = 1 << 28
# Address space that building takes without any tensor's memory.
_BUILDING = 1 << 28


class _WithoutMemory(TorchFunctionMode):
    """Makes tensors on torch's meta device, up to a number of them."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: Tuple[Any, ...] = (),
        kwargs: Optional[Dict[str, Any]] = None,
    ) -> Any:
        """Call a function of torch's."""
        kwargs = dict(kwargs or {})
        if func in _FACTORIES:
            self.left -= 1
            if self.left < 0:
                raise UserError('it has more layers than the file has weights')
            kwargs['device'] = 'meta'
        return func(*args, **kwargs)


@contextmanager
def _limited_memory(size: int) -> Iterator[None]:
    """Let allocations fail that need more address space, in bytes."""
    try:
        pages = int(Path('/proc/self/statm').read_text().split()[0])
    except OSError:
        # Not Linux, where alone the limit is enforced.
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + size
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def is_used(name: str) -> bool:
    """Whether a weight is of use in predicting, by its name.

    What a loss has learned is not, and may be of another loss.
    """
    return '.loss_module.' not in name


def _compare(network: Shapes, file: Shapes) -> None:
    for name in filter(is_used, network):
        if name not in file:
            raise UserError(f'there is no {name}')
        if network[name] != file[name]:
            raise UserError(
                f'{name} has the shape {list(file[name])}, not '
                f'{list(network[name])}'
            )
    for name in filter(is_used, file):
        if name not in network:
            raise UserError(f'there is {name}')


def file_shapes(path: Path) -> Shapes:
    """Shapes by name, of the header of a ``.safetensors`` file.

    A UserError says that it is damaged, or safetensors is missing.
    """
    safetensors = import_optional('safetensors')
    try:
        with safetensors.safe_open(path, 'pt') as file:
            return {
                name: tuple(file.get_slice(name).get_shape())
                for name in file.keys()  # noqa: SIM118
            }
    except safetensors.SafetensorError as error:
        raise UserError(f'cannot read {path}: {error}') from error


def check_shapes(build: Callable[[], Any], file: Shapes) -> None:
    """Refuse a network that the weights of a file do not fill.

    It is built without memory for its weights, and with little for anything
    else. A UserError names what does not fit.
    """
    number = _MADE_EACH * len(file) + _MADE_ANYHOW
    with _limited_memory(_BUILDING), _WithoutMemory(number):
        network = build()
    weights = network.state_dict()
    _compare({k: tuple(value.shape) for k, value in weights.items()}, file)
    saved = {id(value) for value in network.state_dict(keep_vars=True).values()}
    unsaved = sum(b.nbytes for b in network.buffers() if id(b) not in saved)
    if unsaved > _UNSAVED + sum(value.nbytes for value in weights.values()):
        raise UserError(f'it has buffers of {unsaved:,} bytes')
