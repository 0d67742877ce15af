#!/usr/bin/env python
"""Download a dataset into the folder where the configs look for it.

A download that was cut off goes on where it ended; archives are verified
before they are unpacked.

Example:
    python tools/dataset_converters/download.py tinyimagenet
    python tools/dataset_converters/download.py inat2017 --data-root /big/disk
"""

import argparse
import os.path as osp

from mmghm.datasets.archives import Archive, prepare

_INAT = 'https://ml-inat-competition-datasets.s3.amazonaws.com/2017'
# Checksums that are in public use.
DATASETS = {
    'tinyimagenet': [
        Archive(
            'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
            '90528d7ca1a48142e341f4ef8d21d0de',
            'tiny-imagenet-200/wnids.txt',
        ),
    ],
    'inat2017': [
        Archive(
            f'{_INAT}/train_val2017.zip',
            '444c835f6459867ad69fcb36478786e7',
            'train2017.json',
        ),
        Archive(
            f'{_INAT}/train_val_images.tar.gz',
            '7c784ea5e424efaec655bd392f87301f',
            'train_val_images',
        ),
    ],
}
# TinyImageNet brings its own folder.
FOLDERS = {'inat2017': 'inat2017'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('dataset', choices=sorted(DATASETS))
    parser.add_argument('--data-root', default='data')
    parser.add_argument(
        '--keep', action='store_true', help='keep unpacked archives'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    folder = osp.join(args.data_root, FOLDERS.get(args.dataset, ''))
    for archive in DATASETS[args.dataset]:
        prepare(archive, folder, args.keep)
    print(f'{args.dataset} is in {folder}')


if __name__ == '__main__':
    main()
