#!/usr/bin/env python
"""Make one HTML page of one or more runs, to look at and to compare.

Curves, accuracy by group and by class, confusion between head and tail,
calibration, gradient-norm histograms over the epochs, settings. The page needs
no network. What it shows is recorded by RunRecordHook, which this package's
configs have; of other runs it shows the curves and the settings.

Examples:
    python -m mmghm report work_dirs/ghm_cwap/resnet8_digits_lt
    python -m mmghm report work_dirs/mine work_dirs/baseline --out both.html
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='folders of runs',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='file; by default report.html in the first work dir',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser.parse_args()


# Before the imports that take seconds, so that --help answers at once.
ARGS = parse_args() if __name__ == '__main__' else argparse.Namespace()

from rich.console import Console

from mmghm.report.page import read_runs, render
from mmghm.utils.errors import UserError, one_line_errors


def main(args: argparse.Namespace) -> None:
    console = Console()
    try:
        with console.status('Reading the runs'):
            runs = read_runs(args.work_dirs)
    except FileNotFoundError as error:
        raise UserError(f'{error}') from error
    out = args.out or args.work_dirs[0] / 'report.html'
    with console.status('Putting the page together'):
        page = render(runs)
    out.write_text(page, encoding='utf-8')
    console.print(
        f'Wrote {out} ({len(page) / 1e6:.1f} MB): open it in a browser.',
        highlight=False,
        soft_wrap=True,
    )


if __name__ == '__main__':
    with one_line_errors('report.py', ARGS.debug):
        main(ARGS)
