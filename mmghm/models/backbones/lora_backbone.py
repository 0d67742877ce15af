"""A frozen backbone with low-rank adapters."""

from typing import Any, Dict

import torch
from mmpretrain.models import LoRAModel
from mmpretrain.models.peft.lora import LoRALinear
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmghm.utils.errors import UserError


def checksum(module: nn.Module) -> int:
    """Sum of the bits of frozen parameters, in [0, 2^31) on every device."""
    bits = [
        p.detach().float().contiguous().view(torch.int32).sum(dtype=torch.int64)
        for p in module.parameters()
        if not p.requires_grad
    ]
    return int(sum(bit.item() for bit in bits)) % 2**31


@MODELS.register_module()
class LoRABackbone(LoRAModel):
    """mmpretrain's LoRA around a backbone, for long runs that are resumed.

    Checkpoints hold the adapters and no frozen weights, which come from the
    backbone's ``init_cfg``. They also hold a checksum of the frozen weights, so
    that adapters meet the backbone they were trained on. mmpretrain's class
    also drops what other modules have saved before it, such as the number of
    steps of ``EMAHook``, whose average then starts again after a resume; and it
    hides their missing keys.

    Args:
        **kwargs (Any): ``module``, ``alpha``, ``rank``, ``drop_rate`` and
            ``targets`` of mmpretrain's ``LoRAModel`` (Hu et al. 2022).

    Raises:
        ValueError: If no layer is a target, or a checkpoint's adapters belong
            to other frozen weights.
    """

    lora_base: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # The name is one that checkpoints keep.
        self.register_buffer('lora_base', torch.tensor(checksum(self.module)))

    def _register_state_dict_hooks(self) -> None:
        self._register_state_dict_hook(_drop_frozen)
        self._register_load_state_dict_pre_hook(self._check_base)
        self.register_load_state_dict_post_hook(_forgive_frozen)

    def _check_base(
        self, state_dict: Dict[str, Tensor], prefix: str, *args: Any
    ) -> None:
        found = state_dict.get(f'{prefix}lora_base')
        if found is not None and int(found) != int(self.lora_base):
            raise UserError(
                'the adapters of this checkpoint were trained on other frozen '
                f'weights (checksum {int(found)}, here {int(self.lora_base)}): '
                "give the backbone's init_cfg the checkpoint that training "
                'began with'
            )


def _drop_frozen(
    module: nn.Module, state_dict: Dict[str, Tensor], prefix: str, *args: Any
) -> None:
    for key in list(state_dict):
        if key.startswith(prefix) and '.lora_' not in f'.{key[len(prefix) :]}':
            state_dict.pop(key)


def _forgive_frozen(module: nn.Module, incompatible_keys: Any) -> None:
    """Frozen weights are no missing keys."""
    frozen = tuple(
        f'.{name}'
        for name, _ in [*module.named_parameters(), *module.named_buffers()]
        if '.lora_' not in f'.{name}'
    )
    missing = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if not f'.{key}'.endswith(frozen)]


def merge_adapters(model: nn.Module) -> None:
    """Put the adapters into the weights that they adapt, in place.

    Each ``LoRAModel`` becomes its backbone, each adapted layer a linear one
    with ``W + B A`` times alpha over rank.
    """
    for name, child in list(model.named_children()):
        if isinstance(child, LoRALinear):
            layer = child.original_layer
            with torch.no_grad():
                layer.weight += child.scaling * (
                    child.lora_up.weight @ child.lora_down.weight
                )
            setattr(model, name, layer)
            continue
        merge_adapters(child)
        if isinstance(child, LoRAModel):
            setattr(model, name, child.module)
