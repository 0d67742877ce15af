#!/usr/bin/env python
"""Measure the methods on photographs, from a pre-trained network.

Caltech-101 as class folders, a third of every class drawn as test images. The tables
are made by study/pages.py.

Example:
    python study/photographs.py probe caltech101 --out work_dirs/photographs --draws 0 1 2 3 4
    python study/photographs.py fine-tune caltech101 --out work_dirs/photographs
    python study/photographs.py label-errors caltech101 --out work_dirs/photographs --draws 0 2 3
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import load, put
from torch import Tensor

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmghm
from mmghm.choose.answer import answer
from mmghm.choose.settings import (
    with_method,
)
from mmghm.choose.trial import cross_fitted
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
from mmghm.evaluation.calibration import fit_prior, fit_temperature, log_counts
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
from study.photograph_tables import FIRST

TEST = 1 / 3
FINE_TUNED = ('softmax', 'balanced_softmax', 'ghm_cwap', 'ghm_cwap_balanced')
EPOCHS = 5
SMALL = 64
# Labels that are made wrong, to look for them.
FLIPPED = 0.03
HELD_OUT = 0.2
# Imbalance factor of the train images by name; None takes them as they are.
TAILS = {'natural': None, 'if100': 100}
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


def beside_plain_script(root: Path, draw: int) -> Dict[str, Any]:
    """Balanced Softmax on a frozen network: plain_script.py, and two commands."""
    script = Path(__file__).with_name('plain_script.py')
    name = 'own_data/linear_probe'
    mmghm_command = [sys.executable, '-m', 'mmghm']
    with tempfile.TemporaryDirectory() as folder:
        # A fresh cache, so that features are computed in both.
        variables = {
            **os.environ,
            'DATA_ROOT': str(root.resolve()),
            'MMGHM_CACHE': f'{folder}/cache',
            'PYTHONPATH': str(script.parents[1]),
        }

        def minutes(command: List[str], **more: Any) -> float:
            start = time.time()
            subprocess.run(
                command, cwd=folder, env=variables, check=True, **more
            )
            return round((time.time() - start) / 60, 2)

        said = Path(folder) / 'said'
        with said.open('w') as file:
            plain = minutes(
                [sys.executable, str(script), str(root.resolve())], stdout=file
            )
        train = minutes([*mmghm_command, 'train', name])
        last = next(complete_checkpoints(Path(folder) / 'work_dirs' / name))
        metrics = Path(folder) / 'metrics.pkl'
        out = ['--out', str(metrics), '--out-item', 'metrics']
        test = minutes([*mmghm_command, 'test', name, str(last), *out])
        found = load(metrics)
        overall, macro = re.findall(
            r'(?:overall|macro) ([\d.]+)', said.read_text()
        )
    return dict(
        draw=draw,
        script=dict(
            lines=sum(bool(x.strip()) for x in script.read_text().splitlines()),
            minutes=plain,
            overall=float(overall),
            macro=float(macro),
        ),
        mmghm=dict(
            commands=2,
            minutes=round(train + test, 2),
            overall=found['group/overall/top1'],
            macro=found['group/macro/top1'],
        ),
        versions=package_versions(),
        hardware=hardware(),
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
        power, temperature = prior_and_temperature(
            held_scores.numpy(), labels[held].numpy(), rest_counts
        )
        tau = power * temperature
        corrected = scores - tau * torch.from_numpy(counts).log()
        found[method] = dict(
            as_trained=accuracies(scores, test_labels, counts),
            prior_corrected=accuracies(corrected, test_labels, counts),
            power=round(power, 3),
            temperature=round(temperature, 3),
            **more,
        )

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for method in METHODS:
            of_factor = {
                f: on_features(cfg, method, f, part, folder)[0] for f in FACTORS
            }
            chosen[method], best = cross_fitted(of_factor, labels[held])
            scores, head = on_features(cfg, method, best, whole, folder)
            note(method, scores, of_factor[best], factor=round(best, 3))
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
        chosen[method], tau = cross_fitted(of_tau, labels[held])
        note(method, fitted(softmax, whole, tau), of_tau[tau], tau=tau)
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


def prior_and_temperature(
    scores: np.ndarray, labels: np.ndarray, counts: np.ndarray
) -> Tuple[float, float]:
    """Power of the train counts that fits best, with its temperature.

    Args:
        scores (np.ndarray): Logits on images not trained on, (n, C).
        labels (np.ndarray): Of these images, (n,).
        counts (np.ndarray): Train images per class, (C,).

    Returns:
        Tuple[float, float]: Their product times log n is what the correction
        takes off the logits.
    """
    power = fit_prior(scores, labels, counts)
    shift = log_counts(labels, len(counts)) - power * np.log(counts)
    return power, fit_temperature(scores, labels, shift)


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


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'what', choices=['fine-tune', 'label-errors', 'plain', 'probe']
    )
    parser.add_argument('images', type=Path, help='class folders')
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
        if args.what == 'plain':
            out = args.results / f'plain_{draw}.json'
            write_json(beside_plain_script(root, draw), out)
            continue
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
