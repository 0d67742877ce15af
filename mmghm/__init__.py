"""Long-tailed image classification for OpenMMLab.

Importing the package registers everything it adds, so that
``custom_imports = dict(imports=['mmghm'])`` is all that a config needs. The
losses need torch alone, all else MMEngine, and models and most datasets
MMPretrain. What is not installed, or cannot be imported, is left out.
"""

from typing import TYPE_CHECKING

from .utils.dependencies import starts_command
from .version import __version__

# The command line answers --help at once, and examines stacks that cannot be
# imported; it registers the rest before it runs a command.
if TYPE_CHECKING or not starts_command():
    from .everything import *


def register() -> None:
    """Register everything, if the import of the package did not."""
    from . import everything

    globals().update({n: getattr(everything, n) for n in everything.__all__})
