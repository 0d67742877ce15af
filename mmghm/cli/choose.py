r"""Find out which method suits your data.

Trains each method with the config's recipe on the same part of the train set
and evaluates it on the rest, with several seeds; the config's own validation and
test images are not touched. From the softmax runs it also makes the classifiers
that need no training of the network. OUT/choice.html and choice.json hold the
answer, OUT/chosen.py the config to train on everything. A killed run goes on
where it was.

Examples:
    DATA_ROOT=data/birds mmghm choose own_data/fine_tuning --out choice
    mmghm choose my_config.py --budget 6h --jobs 2 --out choice
    mmghm choose softmax/resnet8_digits_lt --seeds 2 \
        --methods balanced_softmax ghm_cwap_balanced --out work_dirs/choice
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import List

from .options import add_cluster, add_config, count, read_config

METHODS = (
    'balanced_softmax',
    'ghm_cwap_balanced',
    'seesaw',
    'ldam_drw',
    'effective_number_drw',
)


def budget(text: str) -> float:
    """Seconds of a duration such as 45m or 3h."""
    unit = {'s': 1, 'm': 60, 'h': 3600}.get(text[-1:])
    try:
        number = float(text[:-1])
    except ValueError:
        number = -1
    if not unit or not 0 < number < float('inf'):
        raise ArgumentTypeError(
            f'takes a duration such as 45m or 3h, got {text!r}'
        )
    return number * unit


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add(
        '--methods',
        nargs='+',
        default=METHODS,
        help=f'losses to try besides softmax; by default {" ".join(METHODS)}',
    )
    add('--seeds', type=count, default=3, help='runs of each method (3)')
    add(
        '--holdout',
        type=float,
        default=0.2,
        help='fraction of each class of the train set to evaluate on (0.2)',
    )
    add(
        '--metric',
        default='macro',
        help='the figure that decides: macro (the default), overall, worst, or '
        'group:many, medium, few, rare',
    )
    add(
        '--jobs',
        type=count,
        help='runs at a time on this machine; several may share a GPU (1; on '
        'features and without a GPU one for each core, at most 4)',
    )
    add(
        '--budget',
        type=budget,
        help='time for all runs, such as 45m or 3h: seeds are cut first, then '
        'methods from the end of the list',
    )
    add('--out', type=Path, required=True, help='folder of the answer')
    add('--dry-run', action='store_true', help='print the plan and stop')
    add_cluster(parser)
    args = parser.parse_args(arguments)
    if args.seeds < 1 or args.jobs == 0:
        parser.error('--seeds and --jobs must be at least 1')
    if not 0 < args.holdout < 1:
        parser.error(
            f'--holdout takes a fraction between 0 and 1, got {args.holdout:g}'
        )
    return args


def run(args: Namespace) -> int:
    """Choose."""
    import os
    import signal
    import sys

    from mmghm.choose.run import choose
    from mmghm.engine.launch import check_classes, named_downloads

    # Terminated like interrupted: the run under way is stopped as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault('MPLBACKEND', 'agg')
    cfg = read_config(args)
    check_classes(cfg)
    with named_downloads(cfg):
        return choose(args, cfg)
