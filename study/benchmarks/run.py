#!/usr/bin/env python
"""Measure, and write study/results/performance/*.csv.

Everything is a ratio inside one run: subjects take turns. Leave the machine
alone meanwhile.

Examples:
    python study/benchmarks/run.py
    python study/benchmarks/run.py losses rebin --device cpu
    python study/benchmarks/render.py
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

import torch

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmghm.utils.errors import UserError, one_line_errors
from study.benchmarks.harness import RESULTS, write

BENCHMARKS = (
    'losses',
    'rebin',
    'start',
    'large_images',
    'loop',
    'epoch',
    'annotations',
    'many_classes',
    'use',
)
# About the host, whatever the device.
CPU_ONLY = ('start', 'annotations', 'use')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'benchmarks',
        nargs='*',
        default=BENCHMARKS,
        help=f'some of {", ".join(BENCHMARKS)}',
    )
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        help='default: the GPU if there is one',
    )
    parser.add_argument('--out', type=Path, help=f'folder; default: {RESULTS}')
    parser.add_argument(
        '--quick',
        action='store_true',
        help='few and small cases, to see that it runs; no figures to quote',
    )
    args = parser.parse_args()
    unknown = set(args.benchmarks) - set(BENCHMARKS)
    if unknown:
        parser.error(f'unknown: {", ".join(sorted(unknown))}')
    return args


def main(args: argparse.Namespace) -> None:
    has_gpu = torch.cuda.is_available()
    args.device = args.device or ('cuda' if has_gpu else 'cpu')
    if args.device == 'cuda' and not has_gpu:
        raise UserError('--device cuda: torch finds no GPU')
    for name in args.benchmarks:
        if name in CPU_ONLY and args.device != 'cpu':
            continue
        found = import_module(f'study.benchmarks.{name}').main(
            args.device, args.quick
        )
        for table, rows in found.items():
            write(f'{table}_{args.device}', rows, args.out or RESULTS)


if __name__ == '__main__':
    with one_line_errors('run.py', debug=False):
        main(parse_args())
