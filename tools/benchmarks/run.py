#!/usr/bin/env python
"""Measure, and write results/performance/*.csv.

Everything is a ratio inside one run: subjects take turns. Leave the machine
alone meanwhile.

Examples:
    python tools/benchmarks/run.py
    python tools/benchmarks/run.py losses rebin --device cpu
    python tools/benchmarks/render.py
"""

import argparse
from importlib import import_module
from pathlib import Path

import torch
from harness import RESULTS, write

BENCHMARKS = (
    'losses',
    'alternatives',
    'rebin',
    'start',
    'large_images',
    'loop',
    'epoch',
    'annotations',
    'many_classes',
)
# About the host, whatever the device.
CPU_ONLY = ('alternatives', 'start', 'annotations')


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
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='default: the GPU if there is one',
    )
    parser.add_argument('--out', type=Path, default=RESULTS)
    parser.add_argument(
        '--quick',
        action='store_true',
        help='few and small cases, to see that it runs; no figures to quote',
    )
    args = parser.parse_args()
    unknown = set(args.benchmarks) - set(BENCHMARKS)
    if unknown:
        parser.error(f'unknown: {", ".join(sorted(unknown))}')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch finds no GPU')
    return args


def main() -> None:
    args = parse_args()
    for name in args.benchmarks:
        if name in CPU_ONLY and args.device != 'cpu':
            continue
        found = import_module(name).main(args.device, args.quick)
        for table, rows in found.items():
            write(f'{table}_{args.device}', rows, args.out)


if __name__ == '__main__':
    main()
