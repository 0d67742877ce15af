#!/usr/bin/env python
"""Measure the methods on photographs, from a pre-trained network.

Caltech-101 as class folders, a third of every class drawn as test images.

Example:
    python study/photographs.py probe caltech101 --out work_dirs/photographs --draws 0 1 2 3 4
    python study/photographs.py render docs/results.md
    python study/photographs.py fine-tune caltech101 --out work_dirs/photographs
    python study/photographs.py label-errors caltech101 --out work_dirs/photographs --draws 0 2 3
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import put
from torch import Tensor

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmghm
from mmghm.choose.answer import answer
from mmghm.choose.posthoc_trials import cross_fitted
from mmghm.choose.settings import (
    with_method,
)
from mmghm.datasets.image_folder import read_class_folders
from mmghm.datasets.profiles import profile_counts
from mmghm.datasets.subsets import choose_long_tail, split_held_out
from mmghm.deploy.calibration import Scores
from mmghm.deploy.network import (
    build_model,
    dataset_logits,
    unaugmented_loader,
)
from mmghm.deploy.publish import group_accuracies
from mmghm.engine.checkpoints import ATOMIC, complete_checkpoints
from mmghm.engine.configs import load_config
from mmghm.engine.launch import build_runner
from mmghm.engine.recipes import evaluated_at_end, with_learning_rate
from mmghm.evaluation.calibration import fit_prior
from mmghm.evaluation.comparison import Comparison
from mmghm.evaluation.groups import QUARTILE_NAMES, group_classes
from mmghm.features.cached import Features, feature_config
from mmghm.features.extract import dataset_features
from mmghm.features.frozen import initial_model
from mmghm.features.training import FACTORS, train_and_score
from mmghm.models.posthoc import (
    TAUS,
    LinearClassifier,
    remake_classifier,
)
from mmghm.report.mistakes import SHOWN
from mmghm.report.train_images import label_issues
from mmghm.utils.arrays import write_arrays
from mmghm.utils.dependencies import version_of
from mmghm.utils.environment import hardware, package_versions
from mmghm.utils.errors import one_line_errors
from study.comparisons import verdict_words
from study.intervals import estimate

TEST = 1 / 3
FINE_TUNED = ('softmax', 'balanced_softmax', 'ghm_cwap', 'ghm_cwap_balanced')
EPOCHS = 5
SMALL = 64
# Labels that are made wrong, to look for them.
FLIPPED = 0.03
HELD_OUT = 0.2
# Imbalance factor of the train images by name; None takes them as they are.
TAILS = {'natural': None, 'if100': 100}
PAIRS = (
    ('balanced_softmax', 'softmax'),
    ('ghm_cwap_margin', 'softmax'),
    ('logit_adjustment', 'balanced_softmax'),
    ('ghm_cwap', 'ghm_cwap_margin'),
    ('ghm_cwap from the first epoch', 'ghm_cwap_margin'),
    ('ghm_cwap_printed', 'ghm_cwap_margin'),
    ('ghm_cwap_balanced', 'balanced_softmax'),
    ('ghm_cwap_balanced from the first epoch', 'balanced_softmax'),
    ('ncm', 'softmax'),
)
TITLES = {
    'natural': 'Caltech-101 as it is',
    'if100': 'Caltech-101 made longer-tailed',
}
FIRST = ' from the first epoch'
METHODS = (
    'softmax',
    'class_balanced',
    'focal',
    'ghm_c',
    'effective_number',
    'equalization',
    'seesaw',
    'ldam',
    'ldam_drw',
    'balanced_softmax',
    'ghm_cwap_margin',
    'ghm_cwap',
    f'ghm_cwap{FIRST}',
    'ghm_cwap_printed',
    'ghm_cwap_balanced',
    f'ghm_cwap_balanced{FIRST}',
)


def draw_test_images(folder: Path, out: Path, draw: int) -> Path:
    """Make a folder with train/ and test/ of links to images.

    Args:
        folder (Path): Class folders.
        out (Path): Where to make it.
        draw (int): Seed of the draw, at least 0.

    Returns:
        Path: The folder.
    """
    root = out / f'draw_{draw}'
    if (root / 'test').exists():
        return root
    found = read_class_folders(str(folder))
    _, test = split_held_out(np.asarray(found.labels), TEST, draw)
    of_test = set(test.tolist())
    for index, path in enumerate(found.paths):
        part = 'test.partial' if index in of_test else 'train'
        link = root / part / Path(path).parent.name / Path(path).name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path(path).resolve())
    (root / 'test.partial').rename(root / 'test')
    return root


def own_config(root: Path, name: str, **settings: Any) -> Config:
    """A config of configs/own_data for a folder.

    Args:
        root (Path): With train/ and test/.
        name (str): Of the config.
        **settings (Any): Environment variables.

    Returns:
        Config: The config.
    """
    os.environ.update(
        DATA_ROOT=str(root), **{k: str(v) for k, v in settings.items()}
    )
    return load_config(f'own_data/{name}')


def fine_tune(
    root: Path, draw: int, method: str, work_dir: Path, out: Path
) -> None:
    """Fine-tune a whole network and test it, also with the prior taken off."""
    cfg = with_method(own_config(root, 'fine_tuning', IMAGE_SIZE=SMALL), method)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    # All images that are not for testing: nothing is chosen on held-out ones.
    cfg.train_dataloader.dataset.holdout = 0
    cfg.val_dataloader = cfg.test_dataloader
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.work_dir = str(work_dir)
    cfg.visualizer = dict(type='Visualizer')
    saved = next(complete_checkpoints(work_dir), None)
    if saved is not None:
        cfg.resume, cfg.load_from = True, saved
    start = time.time()
    runner = build_runner(cfg)
    runner.train()
    spent = time.time() - start
    last = next(complete_checkpoints(work_dir))
    model, _ = build_model(cfg, last, trust=True)
    logits, true, _ = dataset_logits(model, cfg.test_dataloader, 'test')
    scores, labels = torch.from_numpy(logits), torch.from_numpy(true)
    counts = np.asarray(runner.train_dataloader.dataset.class_counts)
    adjusted = scores - torch.from_numpy(counts).log()
    write_json(
        dict(
            draw=draw,
            method=method,
            image_size=SMALL,
            epochs=EPOCHS,
            train_images=int(counts.sum()),
            test_images=len(labels),
            as_trained=accuracies(scores, labels, counts),
            logit_adjusted=accuracies(adjusted, labels, counts),
            seconds=round(spent),
            resumed=saved is not None,
            versions=package_versions(),
            hardware=hardware(),
        ),
        out,
    )


def on_features(
    cfg: Config, method: str, factor: float, features: Features, folder: Path
) -> Tuple[Tensor, Any]:
    """Train a classifier; gives log scores of the held-out part and its head."""
    name = method.removesuffix(FIRST)
    settings = with_learning_rate(with_method(cfg, name), factor)
    if method != name:
        for hook in settings.custom_hooks:
            if hook.type == 'AURARebinHook':
                hook.begin = 0
    path = folder / 'features.npz'
    write_arrays(path, **{k: v.numpy() for k, v in features._asdict().items()})
    settings = feature_config(evaluated_at_end(settings), path)
    settings.work_dir = str(folder / 'run')
    scores, _, _ = train_and_score(settings)
    last = next(complete_checkpoints(Path(settings.work_dir)))
    head = build_model(settings, last, trust=True)[0].head
    shutil.rmtree(settings.work_dir)
    return scores, head


def frozen(root: Path) -> Tuple[Config, Any, Tensor, Tensor, Any]:
    """Config and network of a probe; train features, labels and dataset."""
    cfg = own_config(root, 'linear_probe')
    cfg.train_dataloader.dataset.holdout = 0
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    model = initial_model(cfg).eval()
    loader = unaugmented_loader(cfg, 'train_dataloader')
    return cfg, model, *dataset_features(model, loader, 'train', keep=True)


def label_errors(root: Path, draw: int) -> Dict[str, Any]:
    """Give some train images another label, and look for them."""
    _, _, features, true, dataset = frozen(root)
    number = len(dataset.class_counts)
    random = np.random.default_rng(draw)
    labels = true.numpy().copy()
    planted = random.permutation(len(labels))[: round(FLIPPED * len(labels))]
    steps = random.integers(1, number, len(planted))
    labels[planted] = (labels[planted] + steps) % number
    counts = np.bincount(labels, minlength=number)
    rarest = group_classes(counts, 'quartile')[1][QUARTILE_NAMES[-1]]
    is_wrong, is_rare = labels != true.numpy(), np.isin(labels, rarest)
    start = time.time()
    found = label_issues(features.numpy(), labels)
    seconds = time.time() - start
    hit = is_wrong[found.images]

    def figures(of: np.ndarray) -> Dict[str, Any]:
        listed = of[found.images]
        right = found.suggested == true.numpy()[found.images]
        return dict(
            images=int(of.sum()),
            planted=int((is_wrong & of).sum()),
            listed=int(listed.sum()),
            precision=round(float(hit[listed].mean()), 4),
            recall=round(float(hit[listed].sum() / (is_wrong & of).sum()), 4),
            precision_of_shown=round(float(hit[listed][:SHOWN].mean()), 4),
            suggested_right=round(float(right[listed & hit].mean()), 4),
        )

    return dict(
        draw=draw,
        seed=draw,
        flipped=FLIPPED,
        classes=number,
        all=figures(np.ones(len(labels), bool)),
        rarest_quarter=figures(is_rare),
        listed_without_planting=len(
            label_issues(features.numpy(), true.numpy()).images
        ),
        seconds=round(seconds, 1),
        hardware=hardware(),
        versions={
            **package_versions(),
            **{name: version_of(name) for name in ('cleanlab', 'scikit-learn')},
        },
    )


def probe(root: Path, draw: int, factor: Optional[int], out: Path) -> None:
    """Every method on frozen features, chosen on train images, then tested."""
    cfg, model, train, labels, dataset = frozen(root)
    test, test_labels, _ = dataset_features(
        model, cfg.test_dataloader, 'test', keep=True
    )
    counts = np.asarray(dataset.class_counts)
    if factor is not None:
        counts = longer_tail(counts, factor)
        kept = choose_long_tail(labels.numpy(), counts, draw)
        train, labels = train[kept], labels[kept]
    rest, held = split_held_out(labels.numpy(), HELD_OUT, draw)
    part = Features(train[rest], labels[rest], train[held], labels[held])
    whole = Features(train, labels, test, test_labels)
    rest_counts = np.bincount(labels[rest].numpy(), minlength=len(counts))

    found: Dict[str, Any] = {}
    chosen: Dict[str, Tensor] = {}
    start = time.time()

    def note(
        method: str, scores: Tensor, held_scores: Tensor, **more: Any
    ) -> None:
        chosen[method] = held_scores
        power = fit_prior(
            held_scores.numpy(), labels[held].numpy(), rest_counts
        )
        corrected = scores - power * torch.from_numpy(counts).log()
        found[method] = dict(
            as_trained=accuracies(scores, test_labels, counts),
            prior_corrected=accuracies(corrected, test_labels, counts),
            power=round(power, 3),
            **more,
        )

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for method in METHODS:
            of_factor = {
                f: on_features(cfg, method, f, part, folder)[0] for f in FACTORS
            }
            held_scores, best = cross_fitted(of_factor, labels[held])
            scores, head = on_features(cfg, method, best, whole, folder)
            note(method, scores, held_scores, factor=round(best, 3))
            if method == 'softmax':
                softmax = LinearClassifier(
                    head.fc.weight.detach(), head.fc.bias.detach()
                )
                rest_head = on_features(cfg, method, best, part, folder)[1]
                rest_softmax = LinearClassifier(
                    rest_head.fc.weight.detach(), rest_head.fc.bias.detach()
                )
    for method in ('logit_adjustment', 'tau_norm', 'crt', 'ncm'):

        def fitted(
            trained: LinearClassifier,
            data: Features,
            tau: float,
            of: str = method,
        ) -> Tensor:
            classifier = remake_classifier(
                of,
                trained,
                data.train,
                data.train_labels,
                torch.bincount(data.train_labels, minlength=len(counts)),
                tau,
            )
            return classifier(data.holdout).log_softmax(1)

        of_tau = {
            tau: fitted(rest_softmax, part, tau)
            for tau in TAUS.get(method, [0.0])
        }
        held_scores, tau = cross_fitted(of_tau, labels[held])
        note(method, fitted(softmax, whole, tau), held_scores, tau=tau)
    hits = {
        method: (scores.argmax(1) == labels[held]).numpy()[None]
        for method, scores in chosen.items()
    }
    comparison = Comparison(
        hits,
        labels[held].numpy(),
        rest_counts,
        {m: s.exp().amax(1).numpy()[None] for m, s in chosen.items()},
    )
    names = dataset.metainfo['classes']
    said = answer(comparison, 'macro', names, 1)
    content = dict(
        draw=draw,
        imbalance_factor=round(float(counts.max() / counts.min()), 2),
        train_images=int(counts.sum()),
        test_images=len(test_labels),
        chosen=said.method,
        methods=found,
        seconds=round(time.time() - start),
        versions=package_versions(),
        hardware=hardware(),
    )
    write_json(content, out)


def write_json(content: Dict[str, Any], path: Path) -> None:
    """Write a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    put(
        f'{json.dumps(content, indent=1)}\n'.encode(),
        path,
        backend_args=dict(backend=ATOMIC),
    )


def longer_tail(counts: np.ndarray, factor: int) -> np.ndarray:
    """Exponential class sizes by rank, as far as there are images."""
    order = np.argsort(-counts, kind='stable')
    sizes = np.empty_like(counts)
    sizes[order] = profile_counts(counts[order], 'exp', factor)
    return np.minimum(sizes, counts)


def accuracies(
    scores: Tensor, labels: Tensor, counts: np.ndarray
) -> Dict[str, float]:
    """Accuracies in percent: overall, macro and by quarter of the classes."""
    return group_accuracies(Scores(scores.numpy(), labels.numpy(), ''), counts)


LABELS = {
    'softmax': 'softmax cross-entropy',
    'class_balanced': 'class-balanced weights',
    'effective_number': 'effective number',
    'ghm_c': 'GHM-C',
    'seesaw': 'Seesaw',
    'ldam': 'LDAM',
    'ldam_drw': 'LDAM-DRW',
    'balanced_softmax': 'Balanced Softmax',
    'ghm_cwap_margin': "the paper's margin alone, eq. (2)",
    'ghm_cwap': "`ghm_cwap`, the paper's method",
    f'ghm_cwap{FIRST}': '`ghm_cwap`, W from the first epoch',
    'ghm_cwap_printed': '`ghm_cwap_printed`, nothing changed',
    'ghm_cwap_balanced': '`ghm_cwap_balanced`, our variant',
    f'ghm_cwap_balanced{FIRST}': '`ghm_cwap_balanced`, W from the first epoch',
    'logit_adjustment': 'softmax, then logit adjustment',
    'tau_norm': 'softmax, then tau-normalisation',
    'crt': 'softmax, then cRT',
    'ncm': 'nearest class mean',
}


def text(values: Sequence[float], form: str = '+.1f') -> str:
    """Mean and 95 % t interval."""
    return estimate([float(value) for value in values]).text(form)


def column(
    found: List[Dict[str, Any]],
    method: str,
    name: str,
    kind: str = 'as_trained',
) -> np.ndarray:
    """An accuracy of a method, for each draw."""
    return np.array([one['methods'][method][kind][name] for one in found])


def differences(found: List[Dict[str, Any]]) -> str:
    """A table of markdown: pairs of methods, paired by draw."""
    names = ('macro', 'overall', QUARTILE_NAMES[-1])
    estimates = {
        (pair, name): estimate(
            (
                column(found, pair[0], name) - column(found, pair[1], name)
            ).tolist()
        )
        for pair in PAIRS
        for name in names
    }
    said = dict(zip(estimates, verdict_words(list(estimates.values()))))
    lines = [
        '| difference | macro | overall | rarest quarter |',
        '| --- | --- | --- | --- |',
    ]
    for more, less in PAIRS:
        cells = [
            f'{estimates[(more, less), name].text("+.1f")} '
            f'{said[(more, less), name]}'
            for name in names
        ]
        what = f'{LABELS.get(more, more)} less {LABELS.get(less, less)}'
        lines.append(f'| {what} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def table(found: List[Dict[str, Any]]) -> str:
    """A table of markdown: a method a row, means over the draws."""
    lines = [
        '| method | overall | macro | rarest quarter | macro less softmax '
        '[95 %] | macro after prior correction |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    softmax = column(found, 'softmax', 'macro')
    for method in found[0]['methods']:
        macro = column(found, method, 'macro')
        rare = column(found, method, QUARTILE_NAMES[-1])
        gain = '' if method == 'softmax' else text(macro - softmax)
        lines.append(
            f'| {LABELS.get(method, method)} '
            f'| {column(found, method, "overall").mean():.1f} '
            f'| {macro.mean():.1f} | {rare.mean():.1f} | {gain} '
            f'| {column(found, method, "macro", "prior_corrected").mean():.1f} |'
        )
    best = [
        max(v['as_trained']['macro'] for v in one['methods'].values())
        for one in found
    ]
    taken = [
        one['methods'][one['chosen']]['as_trained']['macro'] for one in found
    ]
    names = ', '.join(
        f'{LABELS.get(name, name)} ({number} of {len(found)})'
        for name, number in Counter(
            one['chosen'] for one in found
        ).most_common()
    )
    lines += [
        '',
        f'{found[0]["train_images"]:,} train and {found[0]["test_images"]:,} '
        f'test images, imbalance factor {found[0]["imbalance_factor"]:g}, '
        f'{len(found)} draws; {found[0]["hardware"]}. By held-out train images '
        f'`choose` takes {names}: on test images {text(taken, ".1f")} macro, '
        f'where the best method of each draw has {np.mean(best):.1f}.',
    ]
    return '\n'.join(lines)


def render(results: Path, page: Path) -> None:
    """Write the tables, and put them between a page's markers."""
    parts = []
    for name, title in TITLES.items():
        found = [
            json.loads(path.read_text())
            for path in sorted(results.glob(f'frozen_{name}_*.json'))
        ]
        if found:
            parts.append(
                f'**{title}**\n\n{table(found)}\n\n{differences(found)}\n'
            )
    text = '\n'.join(parts)
    (results / 'photographs.md').write_text(text)
    begin, end = '<!-- begin: photographs -->', '<!-- end -->'
    before, _, rest = page.read_text().partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f'{before}{begin}\n{text}{end}{after}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'what', choices=['fine-tune', 'label-errors', 'probe', 'render']
    )
    parser.add_argument(
        'images', type=Path, help='class folders; the page, for render'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/photographs')
    )
    parser.add_argument('--draws', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--results',
        type=Path,
        default=Path('study/results/photographs'),
        help='folder of the figures',
    )
    parser.add_argument('--debug', action='store_true')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if args.what == 'render':
        render(args.results, args.images)
        return
    mmghm.register()
    if args.what == 'label-errors':
        found = [
            label_errors(draw_test_images(args.images, args.out, draw), draw)
            for draw in args.draws
        ]
        out = args.results / 'label_errors.json'
        out.write_text(json.dumps(found, indent=1) + '\n')
        return
    for draw in args.draws:
        root = draw_test_images(args.images, args.out, draw)
        if args.what == 'probe':
            for name, factor in TAILS.items():
                out = args.results / f'frozen_{name}_{draw}.json'
                if not out.exists():
                    probe(root, draw, factor, out)
                    print(f'Wrote {out}', flush=True)
            continue
        for method in FINE_TUNED:
            name = f'{method}_{draw}'
            out = args.results / f'fine_tuned_{name}.json'
            if not out.exists():
                fine_tune(root, draw, method, args.out / 'runs' / name, out)


if __name__ == '__main__':
    arguments = parse_args()
    with one_line_errors('photographs.py', arguments.debug):
        main(arguments)
