"""Look at a config's long-tailed train set before training on it.

Prints images, classes, imbalance factor, Gini coefficient, groups and absent
classes; draws the distribution, and sample images of each group as they lie on
the disk.

Example:
    mmghm browse ghm_cwap/resnet8_digits_lt --out-dir browse
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

from .options import add_config, count, read_config


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add('--out-dir', type=Path, required=True, help='folder for the pictures')
    add('--groups', default='quartile', choices=['quartile', 'kang'])
    add('--images', type=count, default=8, help='sample images per group')
    add('--seed', type=int, default=0, help='of the samples')
    args = parser.parse_args(arguments)
    if args.images < 1:
        parser.error(f'--images must be at least 1, got {args.images}')
    return args


def run(args: Namespace) -> None:
    """Browse."""
    from mmghm.choose.browse import browse
    from mmghm.engine.launch import named_downloads

    cfg = read_config(args)
    with named_downloads(cfg):
        browse(args, cfg)
