"""Options of several commands; the standard library alone."""

from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from typing import Any, Optional


def make_parser(
    doc: Optional[str], prog: Optional[str] = None
) -> ArgumentParser:
    """Make a parser with a module's docstring as its help, and ``--debug``."""
    parser = ArgumentParser(
        prog, description=doc, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser


def add_config(parser: ArgumentParser) -> None:
    """Add the config and ``--cfg-options``."""
    add = parser.add_argument
    add('config', help='config file, or name METHOD/TASK[_ifN]')
    add(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the config, as key=value; lists as '
        'key="[a,b]" or key=a,b, without blanks',
    )


def read_config(args: Namespace) -> Any:
    """Load the config that was named, with its options."""
    from mmghm.engine.configs import load_config
    from mmghm.utils.options import merge_options

    cfg = load_config(args.config, args.cfg_options)
    merge_options(cfg, args.cfg_options)
    return cfg


def add_trust(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, for tools that read checkpoints."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the given checkpoint even if it could run code',
    )


def add_launch(parser: ArgumentParser) -> None:
    """Add what mmpretrain's train and test tools have in common."""
    add = parser.add_argument
    add(
        '--work-dir',
        help='folder of logs and checkpoints; by default '
        'work_dirs/METHOD/TASK, or work_dirs/NAME of a config of your own',
    )
    add(
        '--amp',
        action='store_true',
        help='mixed precision (bfloat16 on a machine without a GPU)',
    )
    add('--seed', type=int, help='random seed')
    add(
        '--no-pin-memory',
        action='store_true',
        help='disable pin_memory in the dataloaders',
    )
    add_trust(parser)
    add(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    add(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by some launchers',
    )


def add_cluster(parser: ArgumentParser) -> None:
    """Add what hands many runs to a cluster."""
    add = parser.add_argument
    add(
        '--cluster',
        help="hand the runs to submitit: 'slurm', or 'local' for its own "
        'processes on this machine',
    )
    add('--slurm-partition', help='partition of the cluster')
    add('--timeout-hours', type=float, default=24, help='of a cluster job')


def add_model(parser: ArgumentParser) -> None:
    """Add a model to use: a published folder, an .onnx file, or a config."""
    add = parser.add_argument
    add(
        'model',
        help='published folder, exported .onnx file, or a config with '
        '--checkpoint',
    )
    add('--checkpoint', help='checkpoint, if MODEL is a config')
    add_trust(parser)


def share(text: str) -> float:
    """A number in (0, 1]."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 < number <= 1:
        raise ArgumentTypeError(
            f'takes a number above 0 and at most 1, got {text!r}'
        )
    return number


def count(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdigit():
        raise ArgumentTypeError(
            f'takes a whole number of at least 0, got {text!r}'
        )
    return int(text)
