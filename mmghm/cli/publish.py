r"""Make a folder of a trained model that others can use.

It holds the weights for inference (model.safetensors, and model.pth for
MMPretrain's own get_model and ImageClassificationInferencer), a config of plain
settings, class names, calibration and a model card. The averaged weights are
taken where EMA was used, and adapters are merged into the backbone.

Temperature and prior are fitted on images that the model was neither trained
nor tested on: those held out by train_dataloader.dataset.holdout, validation
images that are not the test images, or those of --calibrate-on.

Example:
    mmghm publish ghm_cwap/resnet8_digits_lt \
        work_dirs/ghm_cwap/resnet8_digits_lt/epoch_40.pth published/digits
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional

from mmghm.utils.errors import UserError

from .options import add_config, add_trust, read_config

if TYPE_CHECKING:
    from mmghm.deploy.calibration import Scores
    from mmghm.deploy.load import Training


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add('checkpoint', help='checkpoint file')
    add('out', type=Path, help='the folder to make')
    add(
        '--calibrate-on',
        metavar='IMAGES',
        help='labelled images: a folder with one folder per class, a .csv or '
        '.parquet table (path, label), or a .txt list of "path label"',
    )
    add(
        '--no-test',
        action='store_true',
        help='leave the accuracy on the test images out of the model card',
    )
    add(
        '--license',
        default='unknown',
        help='of the weights, for the model card, such as apache-2.0',
    )
    add_trust(parser)
    return parser.parse_args(arguments)


def calibration_scores(
    args: Namespace, cfg: Any, training: Training, settings: Any
) -> Optional[Scores]:
    """Logits on images to calibrate on, None if there are none."""
    import logging

    from mmengine.logging import print_log
    from mmengine.registry import DATASETS, DefaultScope

    from mmghm.datasets.image_lists import image_paths
    from mmghm.deploy.calibration import Scores
    from mmghm.deploy.held_out import (
        calibration_loader,
        check_apart,
        check_recorded,
        file_logits,
        labelled_images,
    )
    from mmghm.deploy.load import pipeline_steps
    from mmghm.features.extract import logits_of

    def build(loader: Any) -> Any:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return DATASETS.build(loader.dataset)

    if args.calibrate_on is None:
        loader, what = calibration_loader(cfg)
        if loader is None:
            return None
        train, held = build(cfg.train_dataloader), build(loader)
        check_recorded('train', train, training.images, args.checkpoint)
        if what == 'validation images':
            check_recorded('val', held, training.images, args.checkpoint)
        check_apart(train, image_paths(held))
        return Scores(*logits_of(training.model, cfg, loader, what)[:2], what)
    paths, labels = labelled_images(args.calibrate_on, training.classes)
    try:
        train = build(cfg.train_dataloader)
    except (OSError, UserError) as error:
        print_log(
            f'not compared with the train images, which are not here: {error}',
            'current',
            logging.WARNING,
        )
    else:
        check_apart(train, paths)
    logits = file_logits(
        training.network,
        pipeline_steps(settings),
        paths,
        len(training.classes),
    )
    return Scores(
        logits, labels, f'the images of {Path(args.calibrate_on).name}'
    )


def run(args: Namespace) -> None:
    """Publish."""
    from mmghm.engine.launch import named_downloads

    cfg = read_config(args)
    with named_downloads(cfg):
        publish(args, cfg)


def publish(args: Namespace, cfg: Any) -> None:
    """Measure the model, write its folder, and say so."""
    from mmghm.deploy.calibration import Scores, calibrate
    from mmghm.deploy.load import read_training
    from mmghm.deploy.publish import (
        group_accuracies,
        inference_config,
        inference_weights,
        sha256,
        write_folder,
    )
    from mmghm.deploy.read_back import check_folder
    from mmghm.features.extract import logits_of
    from mmghm.utils.text import TextConsole

    console = TextConsole(soft_wrap=True)
    if args.out.exists():
        raise UserError(
            f'{args.out} exists; choose another folder or delete it'
        )
    if not cfg.get('test_dataloader'):
        raise UserError(
            'publish takes the preparation of images from test_dataloader, which '
            'the config has not'
        )
    training = read_training(cfg, args.checkpoint, args.trust_checkpoint)
    settings = inference_config(cfg, training.model)
    scores = calibration_scores(args, cfg, training, settings)
    test = None
    if not args.no_test:
        logits, labels, _ = logits_of(
            training.model, cfg, cfg.test_dataloader, 'test images'
        )
        test = Scores(logits, labels, f'{len(labels):,} test images')
    calibration = calibrate(training.loss, training.class_counts, scores)
    files = write_folder(
        args.out,
        settings,
        inference_weights(training.model),
        training.classes,
        calibration,
        dict(
            name=args.out.name,
            license=args.license,
            loss=type(training.model.head.loss_module).__name__,
            config=args.config,
            checkpoint=Path(args.checkpoint).name,
            dataset=_dataset_name(cfg),
            command=args.command_line,
            test=test and group_accuracies(test, training.class_counts),
            test_images=test and test.what,
        ),
        lambda folder: check_folder(folder, training.network, settings),
    )
    console.print(f'Wrote {args.out}:')
    for path in files:
        size = f'{path.stat().st_size:>13,} bytes'
        console.print(f'  {path.name:18}{size}  SHA-256 {sha256(path)}')
    if scores is None:
        console.print(
            'Not calibrated: the config holds no images out of training but '
            'the test images; give others by --calibrate-on.'
        )
    else:
        errors = [
            100 * calibration.figures[stage]['all']
            for stage in ('as trained', 'with temperature, re-weighed')
        ]
        console.print(
            f'Calibrated on {calibration.fitted_on}: temperature '
            f'{calibration.temperature:.3f}, expected calibration error '
            f'{errors[0]:.2f} -> {errors[1]:.2f} %.'
        )
    console.print(f'Class prior of the model: {calibration.prior_from}.')


def _dataset_name(cfg: Any) -> str:
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    root = str(dataset.get('data_root') or '').rstrip('/')
    return f'{dataset.type} {Path(root).name}'.strip()
