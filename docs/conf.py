"""Settings of the documentation: ``sphinx-build -W docs docs/_build``."""

import argparse
import re
from contextlib import suppress
from importlib import import_module
from typing import Any, List

from docutils import nodes
from docutils.parsers.rst import Directive
from latex2mathml.converter import convert

import mmghm
from mmghm.cli import COMMANDS
from mmghm.cli.options import make_parser

project = 'mmghm'
version = release = mmghm.__version__
author = copyright = 'mmghm contributors'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
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
# The notebook is trained again with each build.
nb_execution_mode = 'force'
# Seconds a cell; a machine that does other things may be slow.
nb_execution_timeout = 1800
nb_execution_raise_on_error = True

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
autodoc_default_options = {'show-inheritance': True}
# The summary tables list what their page describes.
autosummary_generate = False
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


class _ParserReady(Exception):
    """A command has declared its options."""


def command_parser(name: str) -> argparse.ArgumentParser:
    """Make the parser of ``mmghm NAME``, without parsing anything."""

    def stop(arguments: Any = None) -> None:
        raise _ParserReady

    command = import_module(f'mmghm.cli.{name}')
    parser = make_parser(command.__doc__, prog=f'mmghm {name}')
    parser.parse_args = stop  # type: ignore[assignment]
    with suppress(_ParserReady):
        command.parse(parser, [])
    return parser


class CommandLine(Directive):
    """A section for each command, made from its parser."""

    def run(self) -> List[nodes.Node]:
        """Write the sections."""
        return [self.section(name) for name in COMMANDS]

    def section(self, name: str) -> nodes.section:
        """Describe a command: what it does, its options, examples."""
        parser = command_parser(name)
        text, mark, examples = re.sub(
            r'Examples?:\n', '\0', parser.description or '', count=1
        ).partition('\0')
        section = nodes.section(ids=[f'mmghm-{name}'])
        section += nodes.title(text=f'mmghm {name}')
        for part in text.strip().split('\n\n'):
            section += nodes.paragraph(text=' '.join(part.split()))
        if mark:
            # Continued lines are one line with many blanks.
            lines = [' '.join(line.split()) for line in examples.splitlines()]
            block = '\n'.join(lines).strip()
            section += nodes.literal_block(block, block, language='bash')
        entries = nodes.definition_list()
        formatter = parser._get_formatter()
        for action in parser._actions:
            if action.help == argparse.SUPPRESS or action.dest == 'help':
                continue
            names = formatter._format_action_invocation(action)
            if not action.option_strings and action.nargs in ('*', '+'):
                names += ' ...'
            told = formatter._expand_help(action) if action.help else ''
            entry = nodes.definition_list_item()
            term = nodes.term()
            term += nodes.literal(text=names)
            entry += term
            entry += nodes.definition('', nodes.paragraph(text=told or '-'))
            entries += entry
        section += entries
        return section


def setup(app: Any) -> None:
    """Register the formulas' writer and the command line."""
    app.add_directive('command-line', CommandLine)
    app.add_html_math_renderer(
        'mathml', (write_inline, None), (write_block, None)
    )
