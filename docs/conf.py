"""Settings of the documentation: ``sphinx-build -W docs docs/_build``."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

import mmghm

project = 'mmghm'
version = release = mmghm.__version__
author = copyright = 'mmghm contributors'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx.ext.intersphinx',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'mmghm'

myst_enable_extensions = ['dollarmath', 'colon_fence']
myst_heading_anchors = 3
# Formulas that need neither a network nor a script.
html_math_renderer = 'mathml'
# The notebook is trained anew with each build.
nb_execution_mode = 'force'
# Seconds a cell; a machine that does other things may be slow.
nb_execution_timeout = 1800
nb_execution_raise_on_error = True

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Only links that a reader of the source would follow.
intersphinx_mapping = {}


def write_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula in a line."""
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def write_block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    writer.body.append(convert(node.astext(), display='block'))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the formulas' writer."""
    app.add_html_math_renderer(
        'mathml', (write_inline, None), (write_block, None)
    )
