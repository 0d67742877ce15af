r"""Test a model.

Example:
    mmghm test ghm_cwap/resnet8_digits_lt.py \
        work_dirs/ghm_cwap/resnet8_digits_lt/epoch_40.pth
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, List

from mmghm.utils.errors import UserError

from .options import add_config, add_launch

PRIORS = ('uniform', 'train', 'estimate')


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add('checkpoint', help='checkpoint file')
    add('--out', help='file for predictions or metrics, see --out-item')
    add(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out gets: predictions (.pkl, the default) or metrics (.json, '
        '.yaml or .pkl)',
    )
    add('--show-dir', help='folder for drawn predictions')
    add('--show', action='store_true', help='show predictions in a window')
    add('--interval', type=int, default=1, help='draw every n-th image')
    add('--wait-time', type=float, default=2, help='seconds a window stays')
    add('--tta', action='store_true', help='average over augmentations')
    add(
        '--prior',
        help='also show what the model does under other class proportions: a table '
        'of test sets drawn from long-tailed to inverted, and the accuracy '
        'with its prior corrected to uniform, train, estimate (from the test '
        'images), or a '
        'file with a number per class and line',
    )
    add(
        '--calibration',
        help='calibration.json of a published folder, for --prior: its '
        'temperature and the class prior of the model',
    )
    add_launch(parser)
    args = parser.parse_args(arguments)
    if args.calibration is not None and args.prior is None:
        parser.error('--calibration needs --prior')
    if args.prior not in (None, *PRIORS) and not Path(args.prior).is_file():
        parser.error(
            f'--prior is one of {", ".join(PRIORS)} or a file, and there is no '
            f'file {args.prior}'
        )
    if args.out_item is not None and args.out is None:
        parser.error('--out-item needs --out FILE')
    if args.out is not None:
        metrics = args.out_item == 'metrics'
        ends = ('.json', '.yaml', '.yml', '.pkl') if metrics else ('.pkl',)
        if not args.out.endswith(ends):
            parser.error(
                f'{"metrics" if metrics else "predictions"} go to a file that '
                f'ends in {" or ".join(ends)}, got --out {args.out}'
                + ('' if metrics else '; for metrics add --out-item metrics')
            )
    return args


def merge_args(cfg: Any, args: Namespace) -> Any:
    """Put the options into the config."""
    from copy import deepcopy

    from mmengine.config import ConfigDict

    from mmghm.deploy.network import innermost
    from mmghm.engine.launch import merge_common_arguments

    merge_common_arguments(cfg, args)
    for name in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(name) is None:
            raise UserError(
                f'the config has no {name}, so that nothing is tested'
            )
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        if 'visualization' not in cfg.default_hooks:
            raise UserError(
                '--show and --show-dir need default_hooks.'
                "visualization=dict(type='VisualizationHook')"
            )
        cfg.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        tested = innermost(cfg.test_dataloader.dataset)
        pipeline = deepcopy(tested.pipeline)
        cfg.setdefault('tta_model', dict(type='mmpretrain.AverageClsScoreTTA'))
        if 'tta_pipeline' not in cfg:
            flips = [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]
            cfg.tta_pipeline = [
                *pipeline[:-1],
                dict(type='TestTimeAug', transforms=[flips, [pipeline[-1]]]),
            ]
        cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
        tested.pipeline = cfg.tta_pipeline
    return cfg


def show_priors(args: Namespace, runner: Any, scores: Any) -> None:
    """Print what a corrected prior gains, and keep it for the report."""
    import numpy as np
    import torch
    from rich.table import Table

    from mmghm.deploy.calibration import calibrate
    from mmghm.deploy.load import POSTHOC, read_calibration
    from mmghm.deploy.predict import known_prior
    from mmghm.deploy.prior_shift import in_use, shift_lines, write_in_use
    from mmghm.engine.safe_loading import read_checkpoint
    from mmghm.engine.work_dir import RECORD, RUN_FILE
    from mmghm.evaluation.group_accuracy import evaluate_scores
    from mmghm.evaluation.priors import (
        correct_prior,
        estimate_prior,
        log_softmax,
    )
    from mmghm.utils.text import TextConsole
    from mmghm.visualization.tables import group_table

    counts = np.array(runner.message_hub.get_info('class_counts'))
    if counts.ndim != 1:
        raise UserError(
            '--prior needs the train counts of the classes: put '
            "dict(type='ClassCountsHook') into custom_hooks"
        )
    if args.calibration is None:
        loss = getattr(runner.model, 'module', runner.model).head.loss_module
        checkpoint = read_checkpoint(args.checkpoint, args.trust_checkpoint)
        if POSTHOC in checkpoint.get('meta', {}):
            loss = None
        calibration = calibrate(loss, counts, None)
    else:
        calibration = read_calibration(args.calibration, len(counts))
    estimates = args.prior == 'estimate'
    target = known_prior(calibration, 'train' if estimates else args.prior)
    trained = np.array(calibration.trained_prior)
    logits = scores.log_shares.astype(np.float64)
    shares = log_softmax(logits / calibration.temperature)
    if estimates:
        target = estimate_prior(shares, trained)
    moved = torch.from_numpy(np.exp(correct_prior(shares, trained, target)))
    console = TextConsole()
    # The table takes as much; a narrower terminal would fold its figures.
    console.width = max(console.width, 88)
    console.print(f'\nPrior corrected to that of --prior {args.prior}:')
    print(group_table(evaluate_scores(moved, scores.labels)))
    found = in_use(shares, scores.labels, calibration)
    table = Table('test set', 'images', 'top 1', 'known', 'estimated', 'error')
    for line in shift_lines(found):
        table.add_row(*line)
    console.print(
        'Test sets drawn from the test images, long-tailed as the train set '
        '(forward) to inverted (backward): top 1 as trained; corrected for '
        "the set's prior, known or estimated from its images; and the "
        "estimate's error (total variation). Prior of the model: "
        f'{calibration.prior_from}.',
        soft_wrap=True,
    )
    console.print(table)
    folder = Path(args.checkpoint).parent
    if args.work_dir or not (folder / RECORD / RUN_FILE).exists():
        # No run's folder: that of a published model stays as it is.
        folder = Path(runner.work_dir)
    write_in_use(folder, found)


def run(args: Namespace) -> None:
    """Test."""
    import mmengine
    from mmengine.dist import is_main_process
    from mmengine.evaluator import DumpResults

    from mmghm.engine.configs import load_config
    from mmghm.engine.launch import (
        build_runner,
        leave_process_group,
        named_downloads,
        prepare_cpu,
    )
    from mmghm.engine.safe_loading import trust_checkpoint
    from mmghm.evaluation import ClassScores

    cfg = merge_args(load_config(args.config, args.cfg_options), args)
    prepare_cpu(cfg)
    trusted = args.checkpoint if args.trust_checkpoint else None
    with trust_checkpoint(trusted), named_downloads(cfg):
        runner = build_runner(cfg)
        if args.out and args.out_item != 'metrics':
            runner.test_evaluator.metrics.append(
                DumpResults(out_file_path=args.out)
            )
        scores = ClassScores()
        if args.prior:
            runner.test_evaluator.metrics.append(scores)
        metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    if args.prior and is_main_process():
        show_priors(args, runner, scores)
    leave_process_group()
