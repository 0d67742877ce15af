"""Make one HTML page of one or more runs, to look at and to compare.

Curves, accuracy by group and by class, confusion between head and tail,
calibration, gradient-norm histograms over the epochs, settings. The page needs
no network. What it shows is recorded by RunRecordHook, which this package's
configs have; of other runs it shows the curves and the settings.

Of several runs it also prints the accuracy by group; runs whose configs agree
but for the seed are one row, with their mean and standard deviation.

With a checkpoint of the run, the page also shows the nearest train images of
the surest mistakes, and train images whose label may be wrong (extra
`label-errors`).

Examples:
    mmghm report work_dirs/ghm_cwap/resnet8_digits_lt
    mmghm report work_dirs/mine work_dirs/baseline --out both.html
    mmghm report work_dirs/mine --checkpoint work_dirs/mine/epoch_40.pth
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='folders of runs',
    )
    add(
        '--out',
        type=Path,
        help='file; by default report.html in the first work dir',
    )
    add(
        '--groups',
        default='quartile',
        help='rule of the groups of the printed table',
    )
    add(
        '--checkpoint',
        metavar='FILE',
        help='checkpoint of the run: look at its train images, too',
    )
    args = parser.parse_args(arguments)
    if args.checkpoint and len(args.work_dirs) > 1:
        parser.error('--checkpoint takes one work dir')
    return args


def run(args: Namespace) -> None:
    """Write the page."""
    from mmghm.report.page import read_runs, render
    from mmghm.report.seeds import accuracy_table
    from mmghm.utils.text import TextConsole

    console = TextConsole()
    with console.status('Reading the runs'):
        runs = read_runs(args.work_dirs)
    if args.checkpoint:
        from mmghm.report.train_images import look_at_train_images

        runs[0].train_images = look_at_train_images(
            runs[0], args.work_dirs[0], args.checkpoint
        )
    out = args.out or args.work_dirs[0] / 'report.html'
    with console.status('Putting the page together'):
        page = render(runs)
    out.write_text(page, encoding='utf-8')
    if len(runs) > 1:
        console.print(accuracy_table(runs, args.groups))
    console.print(
        f'Wrote {out} ({len(page) / 1e6:.1f} MB): open it in a browser.',
        soft_wrap=True,
    )
