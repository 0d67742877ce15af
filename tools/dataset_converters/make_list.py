#!/usr/bin/env python
"""Write a list of "path label" lines, with its class sizes and hash.

The images are those of class folders, or those that a config trains on: so
other programs get exactly the same long-tailed subset.

Example:
    python tools/dataset_converters/make_list.py photos/train train.txt
    python tools/dataset_converters/make_list.py ghm_cwap/resnet32_tinyimagenet_lt_if100 tiny_lt.txt
"""

import argparse
import json
import os.path as osp
from pathlib import Path
from typing import Any

import mmpretrain.datasets  # noqa: F401
from mmengine.registry import DATASETS, DefaultScope

from mmghm.cli.options import make_parser
from mmghm.datasets import ImageFolder, LongTailDataset
from mmghm.engine.configs import load_config
from mmghm.utils.errors import UserError, one_line_errors


def find_dataset(source: str, loader: str) -> Any:
    if osp.isdir(source):
        return ImageFolder(data_root=source, pipeline=[])
    cfg = load_config(source)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(cfg[loader].dataset)


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        'source', help='folder with a folder of images per class, or a config'
    )
    parser.add_argument('out', type=Path)
    parser.add_argument(
        '--loader',
        default='train_dataloader',
        help='of the config, whose dataset is listed',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    dataset = find_dataset(args.source, args.loader)
    if not isinstance(dataset, LongTailDataset):
        dataset = LongTailDataset(dataset, profile='none')
    manifest = dataset.manifest()
    if not all(isinstance(i, str) for i in manifest['ids']):
        raise UserError(
            f'the images of {args.source} are no files, so that no list '
            'can name them'
        )
    lines = [f'{i} {n}' for i, n in zip(manifest['ids'], manifest['labels'])]
    text = '\n'.join([*lines, ''])
    args.out.write_bytes(text.encode('utf-8', 'surrogateescape'))
    counts = manifest['class_counts']
    about = dict(
        images=len(lines),
        classes=list(dataset.metainfo.get('classes', ())),
        class_counts=counts,
        sha256=manifest['sha256'],
    )
    description = args.out.with_suffix('.json')
    description.write_text(json.dumps(about, indent=1))
    print(
        f'{args.out} lists {len(lines):,} images of {len(counts):,} classes, '
        f'{max(counts):,} to {min(counts):,} a class; {description} has the '
        'class sizes and the hash'
    )


if __name__ == '__main__':
    args = parse_args()
    with one_line_errors('make_list.py', args.debug):
        main(args)
