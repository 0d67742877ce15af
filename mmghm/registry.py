"""The losses in MMEngine's registry, and the scope ``mmghm``.

MMEngine builds what comes from ``_base_ = 'mmghm::...'`` in the scope, so that
other projects can inherit from our configs. The scope adds nothing to
MMPretrain's registries, which find all that this package registers.
"""

from typing import List

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import Registry

from . import losses
from .utils.dependencies import can_import

# mmghm.losses needs torch alone and therefore does not register itself.
for _loss in (
    losses.GHMCWAPLoss,
    losses.GHMCrossEntropyLoss,
    losses.LDAMLoss,
    losses.LogitAdjustedLoss,
    losses.ReweightedCrossEntropyLoss,
    losses.SeesawCrossEntropyLoss,
    losses.SoftmaxEqualizationLoss,
    losses.SoftmaxFocalLoss,
):
    ROOT_MODELS.register_module(module=_loss)

# MMEngine looks a distribution up in site-packages, where an editable one is
# not. A module that is no distribution is found by import.
MODULE2PACKAGE.setdefault('mmghm', __name__)

__all__: List[str] = []
if can_import('mmpretrain'):
    from mmpretrain import registry as parents

    __all__ += parents.__all__
    for _name in __all__:
        _parent = getattr(parents, _name)
        # A parent is searched, but does not import what it has not yet.
        globals()[_name] = Registry(
            _parent.name,
            parent=_parent,
            scope='mmghm',
            locations=_parent._locations,
        )
