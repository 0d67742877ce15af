import mmpretrain.models

from .cifar_resnet import CIFARResNet

__all__ = ['CIFARResNet']

# MMPretrain has LoRA from 1.0.1 on.
if hasattr(mmpretrain.models, 'LoRAModel'):
    from .lora_backbone import LoRABackbone

    __all__ += ['LoRABackbone']
