"""A classifier by cosine similarity, as LDAM needs it."""

from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.heads import ClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmghm.losses import LDAMLoss
from mmghm.utils.errors import UserError


@MODELS.register_module()
class NormedLinearClsHead(ClsHead):
    """Linear head on normalised features and weights, without bias.

    Its scores are cosines in [-1, 1], scaled by ``scale`` before a loss and
    before the softmax of predictions. ``LDAMLoss`` gets the cosines: it scales
    them itself. The rows start at random with norm 1, as in Cao et al. 2019's
    code.

    Args:
        num_classes (int): C, at least 1.
        in_channels (int): Width of the features.
        scale (float): Factor of the cosines.
        **kwargs (Any): Arguments of mmpretrain's ``ClsHead``.

    Raises:
        ValueError: If ``num_classes`` is below 1.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        scale: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise UserError(
                f'num_classes must be at least 1, got {num_classes}'
            )
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.scale = scale
        # Unit rows: the angle moves by the gradient over the row's norm, so
        # that another norm would be another learning rate.
        start = torch.empty(num_classes, in_channels).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(start))

    def forward(self, feats: Tuple[Tensor]) -> Tensor:
        """Compute the cosines between the last features and the classes."""
        features = F.normalize(self.pre_logits(feats))
        return F.linear(features, F.normalize(self.weight))

    def _get_loss(
        self, cls_score: Tensor, data_samples: List[Any], **kwargs: Any
    ) -> Dict[str, Any]:
        if not isinstance(self.loss_module, LDAMLoss):
            cls_score = self.scale * cls_score
        return super()._get_loss(cls_score, data_samples, **kwargs)

    def _get_predictions(
        self, cls_score: Tensor, data_samples: Optional[List[Any]]
    ) -> List[Any]:
        return super()._get_predictions(self.scale * cls_score, data_samples)
