#!/usr/bin/env python
"""Re-make the classifier of a trained model.

Post-hoc logit adjustment (Menon et al. 2021), tau-normalisation, cRT, LWS and
nearest class mean (Kang et al. 2020), from one checkpoint, on the features of
its backbone. tau is chosen on images held out of training.

Example:
    python tools/posthoc.py softmax/resnet8_digits_lt \
        work_dirs/softmax/resnet8_digits_lt/epoch_40.pth --out posthoc.json \
        --cfg-options train_dataloader.dataset.holdout=0.2
"""

import argparse

from _options import add_config, add_debug, add_trust, make_parser

METHODS = ('none', 'logit_adjustment', 'tau_norm', 'crt', 'lws', 'ncm')


def parse_args() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--methods', nargs='+', choices=METHODS, default=METHODS
    )
    parser.add_argument(
        '--epochs',
        type=int,
        help='of cRT and LWS; by default 10 and 5, as in the source',
    )
    parser.add_argument(
        '--tau',
        type=float,
        help='of logit_adjustment and tau_norm, in place of choosing it',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', help='file for the results, JSON')
    add_trust(parser)
    add_debug(parser)
    return parser.parse_args()


# Before the imports that take seconds, so that --help answers at once.
ARGS = parse_args() if __name__ == '__main__' else argparse.Namespace()

import copy
import json
from functools import partial
from typing import Any, Dict, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MessageHub
from rich.console import Console
from torch import Tensor

from mmghm.datasets import dataset_class_counts
from mmghm.deploy.network import build_model, run_dataset
from mmghm.deploy.publish import innermost
from mmghm.evaluation import GroupAccuracy
from mmghm.experiments.cells import load_config
from mmghm.models.posthoc import (
    adjust_logits,
    choose_tau,
    class_means,
    learn_scales,
    nearest_mean_scores,
    retrain_classifier,
    tau_normalize,
)
from mmghm.utils.errors import UserError, one_line_errors
from mmghm.utils.options import merge_options
from mmghm.visualization.tables import group_table

# What tau is chosen from.
TAUS = {
    'logit_adjustment': np.linspace(0, 2, 21).tolist(),
    'tau_norm': np.linspace(0, 1, 11).tolist(),
}


def extract(model: Any, cfg: Config, field: str) -> Tuple[Tensor, Tensor, Any]:
    """Features and labels of a dataset, with the test pipeline."""
    loader_cfg = cfg[field].copy()
    loader_cfg.batch_size = cfg.test_dataloader.batch_size
    # No augmentation: the features of the images as they are tested.
    test = innermost(cfg.test_dataloader.dataset)
    innermost(loader_cfg.dataset).pipeline = test.pipeline
    return run_dataset(
        model,
        loader_cfg,
        f'features of {field}',
        lambda inputs: model.extract_feat(inputs, stage='pre_logits'),
    )


def held_out_part(cfg: Config) -> Config:
    """The config with the held-out images in place of the train images."""
    dataset = cfg.train_dataloader.dataset
    if not dataset.get('holdout'):
        raise UserError(
            'logit_adjustment and tau_norm choose tau on images '
            'held out of training. Train with --cfg-options '
            'train_dataloader.dataset.holdout=0.2 and give the same here, give '
            '--tau, or leave them out of --methods'
        )
    held = copy.deepcopy(cfg)
    held.train_dataloader.dataset.part = 'holdout'
    return held


def rescored(
    method: str, tau: float, features: Tensor, head: Any, counts: Tensor
) -> Tensor:
    """Scores of a method that has a tau."""
    if method == 'tau_norm':
        return F.linear(features, tau_normalize(head.weight, tau))
    return adjust_logits(head(features), counts, tau)


def evaluate(scores: Tensor, labels: Tensor) -> GroupAccuracy:
    metric = GroupAccuracy(groups=['quartile', 'kang'])
    samples = [
        dict(pred_score=score, gt_label=label)
        for score, label in zip(scores, labels)
    ]
    metric.process(None, samples)
    metric.evaluate(len(samples))
    return metric


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config)
    merge_options(cfg, args.cfg_options)
    console = Console()
    model, _ = build_model(cfg, args.checkpoint, args.trust_checkpoint)
    head = model.head
    if not hasattr(head, 'fc'):
        raise UserError(
            f'posthoc.py needs a linear head, got {type(head).__name__}'
        )
    train = extract(model, cfg, 'train_dataloader')
    test = extract(model, cfg, 'test_dataloader')
    held = None
    if set(TAUS) & set(args.methods) and args.tau is None:
        held = extract(model, held_out_part(cfg), 'train_dataloader')[:2]
    features, labels, dataset = train
    classifier = head.fc.requires_grad_(False)
    num_classes = classifier.out_features
    counts = dataset_class_counts(dataset, num_classes)
    MessageHub.get_current_instance().update_info(
        'class_counts', counts.tolist()
    )
    class_counts = torch.as_tensor(counts)
    chosen = {} if args.epochs is None else dict(epochs=args.epochs)
    results: Dict[str, Any] = {}
    for method in args.methods:
        settings: Dict[str, Any] = {}
        if method == 'none':
            scores = classifier(test[0])
        elif method in TAUS:
            tau = args.tau
            if held is not None:
                score = partial(
                    rescored,
                    method,
                    features=held[0],
                    head=classifier,
                    counts=class_counts,
                )
                tau = choose_tau(score, held[1], TAUS[method])
            settings['tau'] = tau
            scores = rescored(method, tau, test[0], classifier, class_counts)
        elif method == 'ncm':
            means = class_means(features, labels, num_classes)
            scores = nearest_mean_scores(test[0], *means)
        elif method == 'crt':
            settings.update(chosen)
            retrained = retrain_classifier(
                features, labels, num_classes, seed=args.seed, **chosen
            )
            scores = F.linear(test[0], *retrained)
        else:
            settings.update(chosen)
            scales = learn_scales(
                classifier(features), labels, seed=args.seed, **chosen
            )
            scores = scales * classifier(test[0])
        metric = evaluate(scores, test[1])
        results[method] = dict(
            settings=settings,
            accuracy={
                f'{rule}/{group}' if rule else group: values[0]
                for rule, group, _, values in metric.table
            },
        )
        note = ', '.join(f'{k} {v:g}' for k, v in settings.items())
        console.print(f'\n{method}' + (f' ({note})' if note else ''))
        print(group_table(metric))
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            json.dump(results, file, indent=1)


if __name__ == '__main__':
    with one_line_errors('posthoc.py', ARGS.debug):
        main(ARGS)
