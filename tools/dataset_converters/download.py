#!/usr/bin/env python
"""Download a set into the folder where the configs look for it, or verify it.

A download that was cut off goes on where it ended; archives are verified
before they are unpacked, and the set afterwards: totals, class sizes, files.

Example:
    python tools/dataset_converters/download.py tinyimagenet
    python tools/dataset_converters/download.py inat2018 --data-root /big/disk
    python tools/dataset_converters/download.py places_lt --verify
"""

import argparse
import os.path as osp
from typing import List

from rich.console import Console
from rich.table import Table

from mmghm.cli.options import make_parser
from mmghm.datasets.prepare.archives import Archive, prepare
from mmghm.datasets.prepare.reference_sets import (
    REFERENCE_SETS,
    SplitReport,
    verify,
)
from mmghm.utils.errors import UserError, one_line_errors

_INAT = 'https://ml-inat-competition-datasets.s3.amazonaws.com'
# Lists of Kang et al. 2020 in the state of one commit.
_LISTS = (
    'https://raw.githubusercontent.com/facebookresearch/classifier-balancing/'
    '22370c64141cc662f62ead89447c838c4a7977b5/data'
)


def lists(name: str) -> List[Archive]:
    return [
        Archive(f'{_LISTS}/{name}/{name}_{part}.txt', '', f'{name}_{part}.txt')
        for part in ('train', 'val', 'test')
    ]


# Checksums that are in public use.
ARCHIVES = {
    'tinyimagenet': [
        Archive(
            'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
            '90528d7ca1a48142e341f4ef8d21d0de',
            'tiny-imagenet-200/wnids.txt',
        ),
    ],
    'imagenet_lt': lists('ImageNet_LT'),
    'places_lt': [
        Archive(
            'https://data.csail.mit.edu/places/places365/'
            'places365standard_easyformat.tar',
            '',
            'places365_standard',
        ),
        *lists('Places_LT'),
    ],
    'inat2017': [
        Archive(
            f'{_INAT}/2017/train_val2017.zip',
            '444c835f6459867ad69fcb36478786e7',
            'train2017.json',
        ),
        Archive(
            f'{_INAT}/2017/train_val_images.tar.gz',
            '7c784ea5e424efaec655bd392f87301f',
            'train_val_images',
        ),
    ],
    'inat2018': [
        Archive(
            f'{_INAT}/2018/train2018.json.tar.gz',
            'bfa29d89d629cbf04d826a720c0a68b0',
            'train2018.json',
        ),
        Archive(
            f'{_INAT}/2018/val2018.json.tar.gz',
            'f2ed8bfe3e9901cdefceb4e53cd3775d',
            'val2018.json',
        ),
        Archive(
            f'{_INAT}/2018/train_val2018.tar.gz',
            'b1c6952ce38f31868cc50ea72d066cc3',
            'train_val2018',
        ),
    ],
}
NOTES = {
    'imagenet_lt': 'The images are those of ILSVRC 2012, which image-net.org '
    'gives to registered users: unpack them to {folder}/train/<wnid>/ and '
    '{folder}/val/<wnid>/.'
}


def show(reports: List[SplitReport]) -> None:
    """Print a table, with the faults below it."""
    table = Table('split', 'images', 'classes', 'largest', 'smallest', 'sha256')
    for report in reports:
        counts = report.class_counts
        table.add_row(
            report.split,
            f'{counts.sum():,}',
            f'{len(counts):,}',
            f'{counts.max():,}',
            f'{counts.min():,}',
            report.sha256[:16],
        )
    console = Console()
    console.print(table)
    for report in reports:
        for fault in report.faults:
            console.print(f'{report.split}: {fault}', style='red')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('dataset', choices=sorted(ARCHIVES))
    parser.add_argument('--data-root', default='data')
    parser.add_argument(
        '--keep', action='store_true', help='keep unpacked archives'
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='download nothing, compare what is there with what is known',
    )
    parser.add_argument(
        '--lists-only',
        action='store_true',
        help='do not look for the files of the images',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    reference = REFERENCE_SETS[args.dataset]
    folder = osp.join(args.data_root, reference.folder)
    if not args.verify:
        for archive in ARCHIVES[args.dataset]:
            # Some bring the set's own folder.
            brings = archive.creates.split('/')[0] == reference.folder
            prepare(archive, args.data_root if brings else folder, args.keep)
        if args.dataset in NOTES:
            print(NOTES[args.dataset].format(folder=folder))
    try:
        reports = verify(reference, folder, not args.lists_only)
    except OSError as error:
        raise UserError(
            f'{args.dataset} is not complete in {folder}: {error}'
        ) from error
    show(reports)
    if any(report.faults for report in reports):
        raise UserError(
            f'{args.dataset} in {folder} is not the set that is known'
        )
    print(f'{args.dataset} in {folder} is as it is known')


if __name__ == '__main__':
    args = parse_args()
    with one_line_errors('download.py', args.debug):
        main(args)
