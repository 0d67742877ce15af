"""Long-tailed image classification for OpenMMLab.

Importing the package registers everything it adds, so that
``custom_imports = dict(imports=['mmghm'])`` is all that a config needs. The
losses need torch alone, all else MMEngine, and models and most datasets
MMPretrain. What is not installed, or cannot be imported, is left out.
"""

from .utils.dependencies import can_import, check_tool, runs_as_module
from .version import __version__

__all__ = ['__version__']

# `python -m mmghm` answers at once, and examines stacks that cannot be
# imported; it imports the rest when a tool needs it.
if not runs_as_module():
    check_tool()

    from .losses import GHMCWAPLoss

    __all__ += ['GHMCWAPLoss']

    if can_import('mmengine'):
        from . import registry
        from .datasets import LongTailDataset
        from .engine import AURARebinHook, ClassCountsHook
        from .evaluation import GroupAccuracy
        from .fileio import safe_loading

        __all__ += ['AURARebinHook', 'ClassCountsHook']
        __all__ += ['GroupAccuracy', 'LongTailDataset']

        if can_import('mmpretrain'):
            from .models import CIFARResNet

            __all__ += ['CIFARResNet']
