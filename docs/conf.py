"""Settings of the documentation: ``sphinx-build -W docs docs/_build``."""

import mmghm

project = 'mmghm'
version = release = mmghm.__version__
author = copyright = 'the mmghm developers'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx.ext.intersphinx',
    'sphinx.ext.mathjax',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'mmghm'

myst_enable_extensions = ['dollarmath', 'colon_fence']
myst_heading_anchors = 3
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
