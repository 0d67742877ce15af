"""State of a module that is saved with it but is not one of its buffers."""

from typing import Any, Dict, List

import torch
from torch import Tensor, nn


class CheckpointedState(nn.Module):
    """A module with tensors that follow its device and its checkpoints.

    Statistics gathered during training would be ruined as buffers: DDP with
    ``broadcast_buffers=True`` overwrites them with rank 0's at each forward,
    ``SyncBuffersHook`` averages them over ranks (and floors integers), an
    averaged model blends them, ``model.half()`` rounds them. Tensors
    registered here keep their dtype, move with the module, and are saved and
    loaded under their names like buffers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._state_names: List[str] = []

    def register_state(self, name: str, tensor: Tensor) -> None:
        """Add a tensor to the state; it becomes an attribute of the module.

        Args:
            name (str): Attribute and checkpoint key.
            tensor (Tensor): Initial value. Change it in place afterwards.
        """
        setattr(self, name, tensor)
        self._state_names.append(name)

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> 'CheckpointedState':
        super()._apply(fn, *args, **kwargs)
        for name in self._state_names:
            tensor = getattr(self, name)
            moved = fn(tensor)
            if not tensor.is_meta:
                # fn may have cast as well: take only its device.
                moved = tensor.to(moved.device)
            setattr(self, name, moved)
        return self

    def _save_to_state_dict(
        self, destination: Dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self._state_names:
            destination[prefix + name] = getattr(self, name)

    def _load_from_state_dict(
        self,
        state_dict: Dict[str, Any],
        prefix: str,
        local_metadata: Dict[str, Any],
        strict: bool,
        missing_keys: List[str],
        unexpected_keys: List[str],
        error_msgs: List[str],
    ) -> None:
        keys = {prefix + name: name for name in self._state_names}
        others = {k: v for k, v in state_dict.items() if k not in keys}
        super()._load_from_state_dict(
            others,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        for key, name in keys.items():
            tensor = getattr(self, name)
            if key not in state_dict:
                missing_keys.append(key)
            elif state_dict[key].shape != tensor.shape:
                error_msgs.append(
                    f'{type(self).__name__}: {key} has shape '
                    f'{tuple(state_dict[key].shape)} in the checkpoint and '
                    f'{tuple(tensor.shape)} here; num_classes or num_regions '
                    'differ. It keeps its initial value.'
                )
            else:
                with torch.no_grad():
                    tensor.copy_(state_dict[key])
