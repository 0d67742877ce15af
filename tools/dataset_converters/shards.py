#!/usr/bin/env python
"""Pack images into tar archives (WebDataset's layout), or index such archives.

The list that comes of it says where each image lies; ImageShards reads it, with
the archives on a disk or on object storage.

Example:
    python tools/dataset_converters/shards.py make train.txt shards --data-root photos
    python tools/dataset_converters/shards.py index shards/train-*.tar --out train.txt
"""

import argparse
import os.path as osp
from pathlib import Path
from typing import Any

from mmghm.cli.options import make_parser
from mmghm.datasets import ImageList, ImageTable
from mmghm.datasets.shards.pack import index_shards, write_shards
from mmghm.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parts = parser.add_subparsers(dest='action', required=True)
    make = parts.add_parser(
        'make', help='pack the images of a list into archives'
    )
    make.add_argument(
        'ann_file',
        help='lines of "path label", or a table (.csv, .parquet) with the '
        'columns path and label',
    )
    make.add_argument('folder', help='where the archives go, and their list')
    make.add_argument('--data-root', default='', help="the images' folder")
    make.add_argument(
        '--shard-mb', type=float, default=500, help='size of an archive'
    )
    make.add_argument('--seed', type=int, default=0, help='of their order')
    index = parts.add_parser('index', help='list archives that are there')
    index.add_argument('shards', nargs='+', help='paths or addresses')
    index.add_argument('--out', required=True, type=Path, help='the list')
    index.add_argument(
        '--label-key',
        default='',
        help='key of the label in the .json of each image; by default its '
        '.cls is read',
    )
    args = parser.parse_args()
    if args.action == 'make' and args.shard_mb <= 0:
        parser.error(f'--shard-mb must be above 0, got {args.shard_mb}')
    return args


def main(args: argparse.Namespace) -> None:
    if args.action == 'make':
        name = Path(args.ann_file).stem
        table = Path(args.ann_file).suffix in ('.csv', '.parquet', '.pq')
        kind: Any = ImageTable if table else ImageList
        dataset = kind(
            osp.abspath(args.ann_file), data_root=args.data_root, pipeline=[]
        )
        size = int(1e6 * args.shard_mb)
        shards = write_shards(dataset, args.folder, name, size, args.seed)
        out = Path(args.folder) / f'{name}.txt'
    else:
        shards, out = args.shards, args.out
    # All of it or nothing.
    partial = Path(f'{out}.partial')
    number = 0
    with open(partial, 'w') as file:
        for line in index_shards(shards, getattr(args, 'label_key', '')):
            file.write(f'{line}\n')
            number += 1
    partial.replace(out)
    print(f'{out} lists {number:,} images in {len(shards):,} archives')


if __name__ == '__main__':
    args = parse_args()
    with one_line_errors('shards.py', args.debug):
        main(args)
