#!/usr/bin/env python
"""Hold an answer of choose against the test images.

Takes the models that choose trained, tests each on the config's test images, and
says how often the held-out interval of a gain over softmax held the test
images' gain, and what the recommended method lacks to the best on test.

Example:
    mmghm choose softmax/resnet8_digits_lt --out choice
    python study/check_choice.py choice --name digits \
        --out study/results/choose/digits.json
"""

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mmghm.choose.answer import CLASSIFIER, REFERENCE, kind_of
from mmghm.deploy.network import build_model, head_logits, run_dataset
from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.evaluation.comparison import Comparison
from mmghm.features.cached import FEATURES, read_features
from mmghm.models.posthoc import (
    POSTHOC_METHODS,
    LinearClassifier,
    remake_classifier,
)
from mmghm.utils.errors import UserError, one_line_errors


def only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise UserError(
            f'{folder} has {len(found)} of {pattern}, one was expected: it '
            'must be the folder of a single, finished choose'
        )
    return found[0]


def model_of(run: Path) -> Any:
    """The model of a run, by the config that MMEngine wrote beside it."""
    cfg = Config.fromfile(str(only(run, '*.py')))
    last = next(complete_checkpoints(run))
    return build_model(cfg, last, trust=True)[0]


def features_and_scores(model: Any, cfg: Config) -> Tuple[Tensor, ...]:
    """Features, scores and labels of the test images."""

    def output(inputs: Tensor) -> Tensor:
        features = model.extract_feat(inputs, stage='pre_logits')
        scores = head_logits(model.head, model.extract_feat(inputs))
        return torch.cat([features, scores], dim=1)

    found, labels, _ = run_dataset(
        model, cfg.test_dataloader, 'test images', output
    )
    width = found.size(1) - model.head.num_classes
    return found[:, :width], found[:, width:], labels


@torch.no_grad()
def predictions(
    folder: Path, methods: List[str], seed: int, cfg: Config
) -> Tuple[Dict[str, np.ndarray], np.ndarray]:
    """What each method of a seed predicts for the test images."""
    runs, found = folder / 'runs', {}
    softmax = only(runs, f'{REFERENCE}_s{seed}_*')
    features, scores, labels = features_and_scores(model_of(softmax), cfg)
    found[REFERENCE] = scores
    result = only(folder / 'results', f'{REFERENCE}_s{seed}_*.npz')
    with np.load(result) as of:
        trained = LinearClassifier(
            torch.from_numpy(of['weight']), torch.from_numpy(of['bias'])
        )
    train, train_labels, *_ = read_features(softmax / FEATURES)
    counts = torch.bincount(train_labels, minlength=scores.size(1))
    with np.load(result.with_name(f'posthoc_{result.name}')) as posthoc:
        for method in POSTHOC_METHODS:
            tau = float(posthoc.get(f'{method}.tau', 0.0))
            with torch.enable_grad():
                classifier = remake_classifier(
                    method, trained, train, train_labels, counts, tau, seed=seed
                )
            found[method] = classifier(features)
    for method in methods:
        if method.startswith(CLASSIFIER):
            loss = method[len(CLASSIFIER) :]
            name = f'classifier_{loss}_s{seed}_*'
            with np.load(only(folder / 'results', f'{name}.npz')) as of:
                run = only(runs, name) / f'lr_x{of["factor"]:g}'
            found[method] = head_logits(model_of(run).head, (features,))
        elif kind_of(method) == 'trained' and method != REFERENCE:
            run = only(runs, f'{method}_s{seed}_*')
            found[method] = features_and_scores(model_of(run), cfg)[1]
    predicted = {m: found[m].argmax(1).numpy() for m in methods}
    return predicted, labels.numpy()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('choice', type=Path, help='the folder of choose')
    parser.add_argument('--name', required=True, help='of the data, for tables')
    parser.add_argument(
        '--out', type=Path, required=True, help='the JSON to write'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    answer = json.loads((args.choice / 'choice.json').read_text())
    cfg = Config.fromfile(str(args.choice / 'chosen.py'))
    methods = [row['method'] for row in answer['rows']]
    by_seed = [
        predictions(args.choice, methods, seed, cfg)
        for seed in range(answer['seeds'])
    ]
    labels = by_seed[0][1]
    correct = {
        m: np.stack([found[m] for found, _ in by_seed]) == labels
        for m in methods
    }
    metric, chosen = answer['metric'], answer['method']
    tested = Comparison(correct, labels, np.array(answer['train_images']))
    rows = []
    for row in answer['rows']:
        held = row['to_softmax']['interval']
        gain = tested.difference(row['method'], REFERENCE, metric).interval
        rows.append(
            dict(
                method=row['method'],
                held_out=held,
                test=gain._asdict(),
                inside=held['low'] <= gain.value <= held['high'],
            )
        )
    best = tested.best(metric)
    lacks = tested.difference(best, chosen, metric)
    others = [row for row in rows if row['method'] != REFERENCE]
    content = dict(
        name=args.name,
        metric=metric,
        sentence=answer['sentence'],
        chosen=chosen,
        seeds=answer['seeds'],
        held_out_images=sum(answer['held_out']),
        test_images=len(labels),
        best_on_test=best,
        lacks=lacks.interval._asdict(),
        chosen_ties_with_best_on_test=best == chosen or lacks.is_tie,
        chosen_row=next(row for row in rows if row['method'] == chosen),
        inside=sum(row['inside'] for row in others),
        compared=len(others),
        rows=rows,
        seconds=answer['seconds'],
        versions=answer['versions'],
        hardware=answer['hardware'],
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + '\n')
    print(
        f'{args.name}: {chosen} was chosen, {best} is best on the test images '
        f'by {abs(lacks.interval.value):.2f} points; {content["inside"]} of '
        f'{len(others)} gains over softmax lie in their held-out intervals.'
    )


if __name__ == '__main__':
    with one_line_errors('check_choice.py', debug=False):
        main(parse_args())
