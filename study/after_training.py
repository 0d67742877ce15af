#!/usr/bin/env python
"""Measure what can be had of finished runs of the study after training.

For every run whose work dir is there: its accuracy as trained; corrected for equal
class proportions by the prior and the temperature that it has on train images which
it held out, or else its long-tailed draw left out; and with the nearest class mean of
its features in place of its classifier. All in float32.

Example:
    python study/after_training.py study/results/full work_dirs/reproduce
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch
from mmengine.fileio import put
from torch.utils.data import Subset

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.datasets.class_counts import dataset_labels
from mmghm.datasets.subsets import choose_long_tail
from mmghm.deploy.calibration import Scores, calibrate
from mmghm.deploy.network import (
    build_model,
    head_logits,
    unaugmented_loader,
)
from mmghm.deploy.predict import known_prior
from mmghm.deploy.publish import group_accuracies
from mmghm.engine.checkpoints import ATOMIC, complete_checkpoints
from mmghm.evaluation.priors import correct_prior, log_softmax
from mmghm.features.extract import dataset_features
from mmghm.models.posthoc import nearest_class_mean
from mmghm.utils.errors import UserError, one_line_errors
from study.plan import Experiment, experiment_config

# Of each class, for the prior and the temperature.
LEFT_OUT = 300


def left_out(dataset: Any, most: int) -> Subset:
    """Images of the wrapped dataset that a long-tailed draw left out.

    Args:
        dataset (Any): A ``LongTailDataset``.
        most (int): How many of each class at most.

    Returns:
        Subset: Those that a larger draw would take next.

    Raises:
        UserError: If there are none.
    """
    labels = dataset_labels(dataset.dataset)
    counts = dataset.class_counts
    available = np.bincount(labels, minlength=len(counts))
    more = np.minimum(counts + most, available)
    larger = choose_long_tail(labels, more, dataset.seed)
    chosen = np.setdiff1d(larger, dataset.indices)
    if not len(chosen):
        raise UserError(
            'the run trained on every image of its train set; a prior is '
            'measured on images that the long-tailed draw left out'
        )
    return Subset(dataset.dataset, chosen.tolist())


def measure(
    experiment: Experiment, work_dir: Path, trust: bool
) -> Dict[str, Any]:
    """Accuracies of one run in percent, and where its prior comes from."""
    cfg = experiment_config(experiment)
    checkpoint = next(complete_checkpoints(work_dir), None)
    if checkpoint is None:
        raise UserError(f'{work_dir} holds no complete checkpoint')
    model, _ = build_model(cfg, checkpoint, trust)
    loader = unaugmented_loader(cfg, 'train_dataloader')
    train, train_labels, dataset = dataset_features(model, loader, 'train')
    if dataset.holdout:
        loader.dataset = dict(loader.dataset, part='holdout')
    else:
        loader.dataset = left_out(dataset, LEFT_OUT)
    left, left_labels, _ = dataset_features(model, loader, 'left out')
    test, labels, _ = dataset_features(model, cfg.test_dataloader, 'test')
    counts = dataset.class_counts

    @torch.inference_mode()
    def logits(features: torch.Tensor) -> np.ndarray:
        return head_logits(model.head, (features,)).numpy()

    def accuracy(scores: np.ndarray) -> Dict[str, float]:
        return group_accuracies(Scores(scores, labels.numpy(), ''), counts)

    trained = logits(test)
    calibration = calibrate(
        model.head.loss_module,
        counts,
        Scores(logits(left), left_labels.numpy(), 'left-out train images'),
    )
    shares = log_softmax(trained / calibration.temperature)
    moved = correct_prior(
        shares,
        np.array(calibration.trained_prior),
        known_prior(calibration, 'uniform'),
    )
    nearest = nearest_class_mean(train, train_labels, len(counts))
    return dict(
        as_trained=accuracy(trained),
        prior_corrected=accuracy(moved),
        nearest_mean=accuracy(nearest(test).numpy()),
        prior_from=calibration.prior_from,
        temperature=round(calibration.temperature, 3),
        fitted_on=calibration.fitted_on,
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'results',
        type=Path,
        help='folder with the JSON files of the runs; its after_training/ gets '
        'a file for each',
    )
    parser.add_argument(
        'work_dirs', type=Path, help="the study's --work-dir: their checkpoints"
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the checkpoints even if they could run code',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    out = args.results / 'after_training'
    paths = sorted(args.results.glob('*.json'))
    if not paths:
        raise UserError(f'{args.results} holds no results of runs (*.json)')
    for path in paths:
        work_dir, target = args.work_dirs / path.stem, out / path.name
        if target.exists():
            continue
        if not work_dir.is_dir():
            print(f'{path.stem}: skipped, there is no {work_dir}')
            continue
        experiment = Experiment(**json.loads(path.read_text())['cell'])
        found = measure(experiment, work_dir, args.trust_checkpoint)
        put(
            f'{json.dumps(found, indent=1)}\n'.encode(),
            target,
            backend_args=dict(backend=ATOMIC),
        )
        print(
            f'{path.stem}: '
            + ', '.join(
                f'{name.replace("_", " ")} {found[name]["overall"]:.2f}'
                for name in ('as_trained', 'prior_corrected', 'nearest_mean')
            )
        )


if __name__ == '__main__':
    arguments = parse_args()
    with one_line_errors('after_training.py', arguments.debug):
        main(arguments)
