r"""Classify images with a trained model.

MODEL is a folder made by `publish`, an .onnx file made by `export`, or a config
with --checkpoint. IMAGES are files, folders, lists (.txt), tables (.csv,
.parquet) or - for paths on standard input. An image that cannot be read becomes
a row with its error. A run that was stopped goes on where it was.

Example:
    mmghm predict published/digits photos --out predictions.csv \
        --html predictions.html
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Optional

from mmghm.utils.errors import UserError

from .options import add_model, count, share

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from mmghm.deploy.page import Gallery


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_model(parser)
    add(
        'images',
        nargs='+',
        metavar='IMAGES',
        help='files, folders, .txt, .csv, .parquet, or - for standard input',
    )
    add(
        '--out',
        type=Path,
        default=Path('predictions.csv'),
        help='.csv, .jsonl or .parquet; by default predictions.csv',
    )
    add(
        '--html',
        type=Path,
        help='a page with the surest, the least sure, and a sample by group',
    )
    add('--top', type=count, default=3, help='classes per image')
    add(
        '--prior',
        help='class proportions of these images: uniform, train, estimate (found '
        'from the images), or a file with a number per class and line, or '
        'with name,proportion; by default those that the model was trained toward',
    )
    abstain = parser.add_mutually_exclusive_group()
    abstain.add_argument(
        '--abstain-below',
        type=share,
        metavar='P',
        help='mark predictions of a lower probability as abstained',
    )
    abstain.add_argument(
        '--precision',
        type=share,
        metavar='P',
        help='abstain so that this fraction of the rest is right in each group '
        'on the calibration images',
    )
    add('--path-column', default='path', help='of tables; by default path')
    add('--batch-size', type=count, default=64)
    add(
        '--workers',
        type=count,
        help='processes that read images; by default a quarter of the cores, '
        'with a GPU all but one, at most 8',
    )
    add('--device', help='such as cuda:0; by default a GPU')
    add('--bfloat16', action='store_true', help='compute in bfloat16')
    args = parser.parse_args(arguments)
    if args.top < 1 or args.batch_size < 1:
        parser.error('--top and --batch-size must be at least 1')
    if args.precision is not None and args.prior is not None:
        parser.error(
            '--precision is found for the prior that the model was trained '
            'toward; leave --prior out, or give --abstain-below'
        )
    return args


def run(args: Namespace) -> None:
    """Predict."""
    from hashlib import sha256

    import torch
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from mmghm.deploy.images import Found, default_workers, find_images
    from mmghm.deploy.load import load_deployed
    from mmghm.deploy.page import Gallery, render
    from mmghm.deploy.predict import (
        PRIORS,
        abstention,
        estimated_rows,
        fingerprint,
        known_prior,
        predict,
        row_columns,
    )
    from mmghm.deploy.prediction_writer import PredictionWriter
    from mmghm.utils.text import TextConsole

    console = TextConsole(stderr=True)
    check_outputs(args)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with console.status('Loading the model'):
        model = load_deployed(
            args.model,
            args.checkpoint,
            args.trust_checkpoint,
            device,
            args.bfloat16,
        )
    prior, estimates = args.prior, args.prior == 'estimate'
    if prior is not None:
        # Refused now, not after the images.
        known = known_prior(
            model.calibration, 'train' if estimates else prior, model.classes
        )
        if prior not in PRIORS:
            # A file's content, not its name.
            prior = sha256(known.tobytes()).hexdigest()
    thresholds = abstention(model, args.abstain_below, args.precision)
    options = dict(
        prior=prior, top=args.top, thresholds=thresholds, bfloat16=args.bfloat16
    )

    def images() -> Iterator[Found]:
        return find_images(args.images, args.path_column)

    total = None if '-' in args.images else sum(1 for _ in images())
    if total == 0:
        raise UserError(f'no image in {", ".join(args.images)}')
    journal = PredictionWriter(
        args.out,
        fingerprint(model, **options),
        len(model.classes) if estimates else 0,
    )
    resumed = journal.num_done
    workers = default_workers(device) if args.workers is None else args.workers
    columns = (
        *(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()),
        *(TextColumn('images,'), TimeRemainingColumn(), TextColumn('left')),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('Predicting', total=total)
        target: Optional[Any] = predict(
            model,
            images,
            journal,
            args.prior,
            args.top,
            thresholds,
            args.batch_size,
            workers,
            lambda number: progress.advance(task, number),
        )
    rows: Iterator[Any] = journal.rows()
    if estimates:
        rows = estimated_rows(model, journal, args.top, thresholds)
        target = next(rows)
    gallery = Gallery(list(dict.fromkeys(model.groups)))
    notes = run_notes(args, model.classes, target, thresholds)
    half = args.html and args.html.with_name(f'{args.html.name}.made')

    def write_page() -> None:
        if half:
            page = render(gallery, model.name, ' '.join(notes))
            half.write_text(page, encoding='utf-8')

    # Both are written before either has its name.
    journal.finish(gallery.see(rows), row_columns(args.top), write_page)
    if half:
        os.replace(half, args.html)
    report(console, args, gallery, resumed, notes)


def check_outputs(args: Namespace) -> None:
    """Make the folders of the files, before any work is done."""
    if args.html is None:
        return
    if args.html.resolve() == args.out.resolve():
        raise UserError(f'--out and --html are both {args.out}')
    if args.html.exists():
        raise UserError(
            f'{args.html} exists; choose another --html or delete it'
        )
    args.html.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(args.html.parent, os.W_OK):
        raise UserError(f'cannot write into {args.html.parent}, for --html')


def run_notes(
    args: Namespace,
    classes: List[str],
    prior: Optional[np.ndarray],
    thresholds: Any,
) -> List[str]:
    """What is to be known of a run: its prior and its thresholds."""
    import numpy as np

    notes = []
    if prior is not None:
        largest = np.argsort(-prior, kind='stable')[:3]
        told = ', '.join(
            f'{classes[i]} {100 * prior[i]:.1f} %' for i in largest
        )
        kind = 'Estimated' if args.prior == 'estimate' else 'Given'
        rest = ', and so on' if len(classes) > len(largest) else ''
        notes.append(f'{kind} class proportions: {told}{rest}.')
    if thresholds:
        told = ', '.join(
            f'{group} {value:.3f}' if np.isfinite(value) else f'{group} always'
            for group, value in thresholds.items()
        )
        notes.append(f'Abstained below: {told}.')
    return notes


def report(
    console: Console,
    args: Namespace,
    gallery: Gallery,
    resumed: int,
    notes: List[str],
) -> None:
    """Say what was done."""
    counts = {
        'of them before': resumed,
        'could not be read': gallery.num_failed,
        'abstained': gallery.num_abstained,
    }
    told = [f', {count:,} {what}' for what, count in counts.items() if count]
    console.print(
        f'Wrote {args.out}: {gallery.total:,} images{"".join(told)}.',
        *notes,
        *([f'Page: {args.html}.'] if args.html else []),
        soft_wrap=True,
    )
