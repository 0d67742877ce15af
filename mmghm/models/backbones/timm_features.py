"""Networks of timm, without their classifiers."""

from typing import Any, Optional, Tuple

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from mmghm.utils.dependencies import LazyModule
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

from .packaged_weights import is_packaged, load_packaged

timm = LazyModule('timm')


def create_timm(name: str, image_size: Optional[int], **kwargs: Any) -> Any:
    """Make a network of timm that gives pooled features.

    Those that are made for one size get that of the images, by default their
    own. The width of the features is ``num_features``. A name that timm does
    not know is refused.
    """
    if not timm.is_model(name):
        raise UserError(
            f'timm has no network {name!r}{closest(name, timm.list_models())}'
        )
    try:
        try:
            return timm.create_model(
                name, num_classes=0, img_size=image_size, **kwargs
            )
        except TypeError:
            # Convolutional networks take any size.
            return timm.create_model(name, num_classes=0, **kwargs)
    except OSError as error:
        reason = str(error).partition('.')[0]
        raise UserError(
            f'cannot download the weights of timm/{name} ({reason}); set '
            'PRETRAINED to a file of them, or to none for random ones'
        ) from error


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """A network of timm up to its pooled features.

    Unlike mmpretrain's ``TIMMBackbone`` it pools as the network was trained
    to, so that a ``LinearClsHead`` without a neck fits every network.

    Args:
        model_name (str): See :func:`create_timm`.
        image_size (Optional[int]): See :func:`create_timm`.
        pretrained (bool): Begin with the weights of a package, if one is
            installed for this network, or download timm's.
        frozen (bool): Train nothing of it, and keep its batch statistics.
        init_cfg (Optional[dict]): Of MMEngine, such as ``Pretrained``.
    """

    def __init__(
        self,
        model_name: str,
        image_size: Optional[int] = None,
        pretrained: bool = False,
        frozen: bool = False,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        packaged = pretrained and is_packaged(model_name)
        self.network = create_timm(
            model_name, image_size, pretrained=pretrained and not packaged
        )
        if packaged:
            load_packaged(model_name, self.network)
        self.frozen = frozen
        self.network.requires_grad_(not frozen)
        # MMEngine would initialise the layers again.
        self._is_init = init_cfg is None

    def train(self, mode: bool = True) -> 'TimmFeatures':
        """Keep a frozen network in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """Compute features (B, ``num_features``) of (B, channels, H, W)."""
        return (self.network(images),)
