"""Write a published model as ONNX or torch.export, and compare the two.

The file takes RGB images of any number in [0, 255] and gives logits; it holds
the normalisation, and describes how images are resized, the classes, the
temperature and the prior. `predict` runs .onnx files. A difference above 1e-3
in a logit is an error.

Example:
    mmghm export published/digits --out digits.onnx
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import List

from .options import add_model


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_model(parser)
    add(
        '--format',
        choices=['onnx', 'torch'],
        default='onnx',
        help='torch: a program of torch.export, .pt2',
    )
    add('--out', type=Path, help='by default model.onnx or .pt2')
    add(
        '--images',
        nargs='+',
        help='real images to compare on, as for predict, the first 256; by '
        'default generated ones',
    )
    return parser.parse_args(arguments)


def run(args: Namespace) -> None:
    """Export."""
    from itertools import islice
    from typing import Iterator

    from torch import Tensor

    from mmghm.deploy.export import FORMATS, export
    from mmghm.deploy.images import (
        ImageReader,
        find_images,
        generated_images,
        read_images,
    )
    from mmghm.deploy.load import load_deployed
    from mmghm.utils.text import TextConsole

    console = TextConsole()
    out = args.out or Path(f'model{FORMATS[args.format]}')
    model = load_deployed(args.model, args.checkpoint, args.trust_checkpoint)
    reader = ImageReader(model.steps)

    def batches() -> Iterator[Tensor]:
        if args.images is None:
            yield from generated_images(model.steps, 64)
            return
        found = islice(find_images(args.images), 256)
        for batch in read_images(found, reader, 32, num_workers=0):
            yield from batch.images.values()

    kind = 'images' if args.images else 'generated images'
    with console.status('Exporting'):
        parity = export(model, out, args.format, batches())
    console.print(
        f'Wrote {out} ({out.stat().st_size / 1e6:.2f} MB). On {parity.images} '
        f'{kind} its logits differ from PyTorch by at most '
        f'{parity.difference:.1e}; {100 * parity.equal_top1:.2f} % have the '
        'same first class.',
        soft_wrap=True,
    )
