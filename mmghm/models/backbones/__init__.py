from .cifar_resnet import CIFARResNet
from .lora_backbone import LoRABackbone

__all__ = ['CIFARResNet', 'LoRABackbone']
