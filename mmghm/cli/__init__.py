"""The command line: ``mmghm COMMAND``, or ``python -m mmghm COMMAND``.

Each command is a module here. ``parse(parser, arguments)`` needs the standard
library alone, so that ``--help`` answers at once; ``run(args)`` imports the
rest.
"""

import shlex
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module
from typing import List, Optional

import mmghm
from mmghm.utils.dependencies import check_dependencies, hidden_by
from mmghm.utils.errors import one_line_errors
from mmghm.version import __version__

from .options import make_parser

COMMANDS = {
    'train': 'train a model',
    'test': 'test a model',
    'choose': 'find out which method suits your data',
    'predict': 'classify images with a trained model',
    'publish': 'make a folder of a trained model that others can use',
    'export': 'write a published model as ONNX or torch.export',
    'posthoc': 'make a new classifier for a trained network',
    'report': 'make one HTML page of one or more runs',
    'browse': 'look at a train set before training on it',
    'doctor': 'say what is wrong with an installation',
}


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a command.

    Args:
        arguments (Optional[List[str]]): In place of the command line's.

    Returns:
        int: Exit status: 0, 1 if something failed, 2 for a user's mistake.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    menu = ArgumentParser(
        prog='mmghm',
        formatter_class=RawDescriptionHelpFormatter,
        description='Long-tailed image classification. `mmghm COMMAND --help` '
        'explains each command.\n\n'
        + '\n'.join(f'  {name:10}{what}' for name, what in COMMANDS.items()),
        epilog='Examples:\n  mmghm doctor\n'
        '  mmghm train ghm_cwap/resnet8_digits_lt\n'
        '  mmghm report work_dirs/ghm_cwap/resnet8_digits_lt',
    )
    menu.add_argument(
        '--version', action='version', version=f'mmghm {__version__}'
    )
    menu.add_argument('command', choices=COMMANDS, metavar='COMMAND')
    name = menu.parse_args(arguments[:1]).command
    command = import_module(f'{__name__}.{name}')
    parser = make_parser(command.__doc__, prog=f'mmghm {name}')
    args = command.parse(parser, arguments[1:])
    # For the records of what was done.
    args.command_line = shlex.join(['mmghm', *arguments])
    if name != 'doctor':
        hidden = hidden_by()
        if hidden:
            menu.error(
                f'the folder {hidden} hides the installed package here; run '
                f'this in another folder, such as {hidden} itself'
            )
    with one_line_errors(parser.prog, args.debug):
        if name != 'doctor':
            check_dependencies()
            mmghm.register()
        return command.run(args) or 0
