"""The scope ``mmghm``, so that other projects can inherit from its configs.

MMEngine builds what comes from ``_base_ = 'mmghm::...'`` in this scope. It adds
nothing to mmpretrain's registries, which find all that this package registers.
"""

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry
from mmpretrain import registry as parents

# MMEngine looks a distribution up in site-packages, where an editable one is
# not. A module that is no distribution is found by import.
MODULE2PACKAGE.setdefault('mmghm', __name__)

__all__ = list(parents.__all__)
for _name in __all__:
    _parent = getattr(parents, _name)
    # A parent is searched, but does not import what it has not yet.
    globals()[_name] = Registry(
        _parent.name,
        parent=_parent,
        scope='mmghm',
        locations=_parent._locations,
    )
