import mmpretrain.models

from .cifar_resnet import CIFARResNet
from .timm_features import TimmFeatures

__all__ = ['CIFARResNet', 'TimmFeatures']

# MMPretrain has LoRA from 1.0.1 on.
if hasattr(mmpretrain.models, 'LoRAModel'):
    from .lora_backbone import LoRABackbone

    __all__ += ['LoRABackbone']
