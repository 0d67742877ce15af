"""The narrow ResNet of He et al. for 32 x 32 images."""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmghm.utils.errors import UserError


class CIFARBlock(BaseModule):
    """Two 3 x 3 convolutions and a shortcut without parameters (option A).

    There are at least as many channels after it as before; stride 2 halves the
    resolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, 3, padding=1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.new_channels or self.stride > 1:
            # Option A: every second pixel, new channels split on both sides.
            before = self.new_channels // 2
            x = F.pad(
                x[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, before, self.new_channels - before),
            )
        return F.relu(out + x, inplace=True)


@MODELS.register_module()
class CIFARResNet(BaseModule):
    """ResNet for small images (He et al. 2016, section 4.2).

    A 3 x 3 stem and three stages of (depth - 2) / 6 blocks with 16, 32 and 64
    channels; the long-tailed CIFAR literature's ResNet-32 (0.46 M parameters).

    Args:
        depth (int): 6 n + 2 layers: 8, 20, 32, 44, 56, 110, ...
        in_channels (int): Channels of the images.
        base_channels (int): Channels of the first stage.
        channels_last (bool): Whether to compute in channels-last memory
            order, which is faster on CPUs and on GPUs' tensor cores.
        init_cfg (Optional[dict]): Initialisation; by default He's for the
            convolutions.

    Raises:
        ValueError: If the depth is not 6 n + 2 with n >= 1.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        base_channels: int = 16,
        channels_last: bool = True,
        init_cfg: Optional[dict] = None,
    ) -> None:
        if depth < 8 or (depth - 2) % 6:
            raise UserError(
                'depth must be 6 n + 2 (8, 20, 32, 44, 56, 110, '
                f'...), got {depth}'
            )
        super().__init__(
            init_cfg or dict(type='Kaiming', layer='Conv2d', mode='fan_in')
        )
        self.channels_last = channels_last
        self.conv1 = nn.Conv2d(
            in_channels, base_channels, 3, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(base_channels)
        channels = base_channels
        for stage, stride in enumerate((1, 2, 2)):
            width = base_channels * 2**stage
            blocks = [CIFARBlock(channels, width, stride)]
            for _ in range((depth - 2) // 6 - 1):
                blocks.append(CIFARBlock(width, width, 1))
            channels = width
            self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """Extract the feature map of the last stage."""
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return (self.layer3(self.layer2(self.layer1(x))),)
