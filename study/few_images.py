#!/usr/bin/env python
"""Measure how few left-out images a model's class prior can be measured on.

Takes the models of ``zoo/``, whose long-tailed draw left most of CIFAR-10's train images
out. Calibration images are drawn from these again and again. Each draw fits the prior and
the temperature, by several rules; the model, corrected for equal class proportions, is
then evaluated on the test images.

Example:
    CIFAR10_FOLDER=data/cifar10 python study/few_images.py
"""

import argparse
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from scipy.stats import chi2

# `study` is no installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmghm.deploy.calibration import stated_power, stated_prior
from mmghm.deploy.network import (
    build_model,
    dataset_logits,
    unaugmented_loader,
)
from mmghm.evaluation.calibration import (
    fit_prior,
    fit_temperature,
    log_counts,
    log_likelihood,
)
from mmghm.utils.environment import hardware, package_versions
from mmghm.utils.errors import one_line_errors
from study.after_training import left_out
from study.evidence import OLD_DEFAULT
from study.plan import evidence_experiment, experiment_config
from study.render import load_results, setting_of

FULL = Path('study/results/full')
OUT = Path('study/results/prior/draws.json')
ZOO = Path('zoo')
# Settings whose models are there, and their folders. The last was trained with
# another loss than the config's, which does not change its logits.
FOLDERS = {
    'softmax': 'softmax',
    'balanced_margin': 'balanced_softmax',
    'ghm_cwap_margin': 'ghm_cwap_margin',
    'ghm_cwap_balanced': 'ghm_cwap_balanced',
}
# Losses with the same margin count as one of the population.
FAMILY = {
    **dict.fromkeys((OLD_DEFAULT, 'ghm_cwap_balanced'), 'balanced_margin'),
    **dict.fromkeys(
        ('ghm_cwap', 'r_w', 'r_w_ura', 'r_w_mean'), 'ghm_cwap_margin'
    ),
}
# It is at 25 %: no prior explains it.
COLLAPSED = 'r_w_none'
# Images of each class in a draw.
SIZES = (5, 10, 20, 300)
# In place of a size: the train set's own proportions, a tenth of its size.
LONG_TAILED = 'long-tailed'
TENTH = 0.1
TAUS = np.arange(0, 2.51, 0.1)


class Logits(NamedTuple):
    """Logits of a model, (n, C), with labels, (n,), and the train counts, (C,)."""

    left: np.ndarray
    left_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    counts: np.ndarray


def read_logits(setting: str, folder: Path) -> Logits:
    """Logits of a model of the zoo, kept in a file once they are computed."""
    path = folder / f'{setting}.npz'
    if path.exists():
        with np.load(path) as file:
            return Logits(**file)
    found = compute_logits(setting)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(path, **found._asdict())
    return found


def compute_logits(setting: str) -> Logits:
    """Logits of a model of the zoo on images that it was not trained on."""
    cfg = experiment_config(
        evidence_experiment('cifar10_if100', setting, 0, False)
    )
    folder = ZOO / f'{FOLDERS[setting]}_resnet32_cifar10_lt_if100'
    model, _ = build_model(cfg, f'{folder}/model.safetensors', False)
    loader = unaugmented_loader(cfg, 'train_dataloader')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(loader.dataset)
    # All that there are.
    loader.dataset = left_out(dataset, max(dataset.class_counts))
    left, left_labels, _ = dataset_logits(model, loader, 'left out')
    test, labels, _ = dataset_logits(model, cfg.test_dataloader, 'test')
    return Logits(
        left, left_labels, test, labels, np.array(dataset.class_counts)
    )


def measured_powers() -> Dict[str, List[float]]:
    """Exponents of the study's runs, each on 2,700 images, by family of losses."""
    powers: Dict[str, List[float]] = defaultdict(list)
    for result in load_results(FULL):
        setting = setting_of(result)
        told = result.get('after_training', {}).get('prior_from', '')
        found = re.search(r'measured.*\^(-?[\d.]+)', told)
        if found and setting != COLLAPSED:
            powers[FAMILY.get(setting, setting)].append(float(found[1]))
    return dict(powers)


def stated_powers(families: Sequence[str]) -> Dict[str, Optional[float]]:
    """Exponents that the formulas of losses state, None if one does not."""
    stated: Dict[str, Optional[float]] = {}
    for family in families:
        cfg = experiment_config(
            evidence_experiment('cifar10_if100', family, 0, False)
        )
        counts = np.array(cfg.train_dataloader.dataset.class_counts)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            loss = MODELS.build(
                dict(cfg.model.head.loss, num_classes=len(counts))
            )
        prior, _ = stated_prior(loss, counts)
        stated[family] = None if prior is None else stated_power(prior, counts)
    return stated


def fit_expected(
    measured: Dict[str, float], stated: Dict[str, Optional[float]]
) -> Dict[str, float]:
    """Fit what exponents to expect, each family of losses counting once.

    Args:
        measured (Dict[str, float]): Mean exponent of each family.
        stated (Dict[str, Optional[float]]): What its formula states.

    Returns:
        Dict[str, float]: As in :mod:`mmghm.deploy.calibration`: ``kept`` and
        ``kept_deviation`` for losses that state a prior, ``unstated`` and
        ``unstated_deviation`` from all, for those that do not.
    """
    pairs = [
        (power, known)
        for family, power in measured.items()
        if (known := stated[family]) is not None
    ]
    # What a loss takes away: nothing under plain cross-entropy.
    kept = sum((p - s) * (1 - s) for p, s in pairs) / sum(
        (1 - s) ** 2 for _, s in pairs
    )
    errors = [p - s - kept * (1 - s) for p, s in pairs]
    return dict(
        kept=kept,
        kept_deviation=math.sqrt(
            sum(e * e for e in errors) / (len(errors) - 1)
        ),
        unstated=mean(measured.values()),
        unstated_deviation=stdev(measured.values()),
    )


def expected(
    fitted: Dict[str, float], stated: Optional[float]
) -> Tuple[float, float]:
    """Mean and deviation of the exponent of a loss, see :func:`fit_expected`."""
    if stated is None:
        return fitted['unstated'], fitted['unstated_deviation']
    return stated + fitted['kept'] * (1 - stated), fitted['kept_deviation']


def draw(logits: Logits, size: Any, rng: np.random.Generator) -> np.ndarray:
    """Places of calibration images among those left out."""
    labels = logits.left_labels
    available = np.bincount(labels, minlength=len(logits.counts))
    if size == LONG_TAILED:
        wanted = np.rint(TENTH * logits.counts).astype(int)
    else:
        wanted = np.full(len(available), size)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == c), min(n, m), replace=False)
            for c, (n, m) in enumerate(zip(wanted, available))
        ]
    )


def temperature_of(
    logits: np.ndarray, labels: np.ndarray, log_prior: np.ndarray
) -> Tuple[float, float]:
    """Temperature under a prior, and the log-likelihood of all images with it."""
    shift = log_counts(labels, len(log_prior)) - log_prior
    temperature = fit_temperature(logits, labels, shift)
    fit = log_likelihood(logits / temperature + shift, labels)
    return temperature, fit * len(labels)


def powers_by_rule(
    logits: np.ndarray,
    labels: np.ndarray,
    counts: np.ndarray,
    stated: Optional[float],
    known: Tuple[float, float],
) -> Dict[str, Tuple[float, float]]:
    """Exponent and temperature by each rule, on one draw.

    Args:
        logits (np.ndarray): Of the draw, (n, C).
        labels (np.ndarray): Its labels, (n,).
        counts (np.ndarray): Train images per class, (C,).
        stated (Optional[float]): The exponent that the loss states.
        known (Tuple[float, float]): See :func:`expected`.

    Returns:
        Dict[str, Tuple[float, float]]: ``'stated'``: the loss is believed.
        ``'measured'``: the images alone. ``'tested'``: the stated one unless a
        likelihood-ratio test at 5 % rejects it, as until 0.2. ``'shrunk'``: as
        ``calibrate`` does.
    """
    log_sizes = np.log(counts)
    powers = {
        'measured': fit_prior(logits, labels, counts),
        'shrunk': fit_prior(logits, labels, counts, *known),
    }
    if stated is not None:
        powers['stated'] = stated
    found, fits = {}, {}
    for rule, power in powers.items():
        temperature, fits[rule] = temperature_of(
            logits, labels, power * log_sizes
        )
        found[rule] = power, temperature
    found['tested'] = found['measured']
    if stated is not None and (
        2 * (fits['measured'] - fits['stated']) <= chi2.ppf(0.95, df=1)
    ):
        found['tested'] = found['stated']
    return found


def accuracy(logits: Logits, tau: float) -> float:
    """Test accuracy in percent after ``tau * log n`` is taken off the logits."""
    scores = logits.test - tau * np.log(logits.counts)
    return round(
        100 * float((scores.argmax(1) == logits.test_labels).mean()), 2
    )


def measure(
    logits: Logits,
    stated: Optional[float],
    known: Tuple[float, float],
    draws: int,
) -> Dict[str, Any]:
    """Accuracies of one model over draws of its calibration images."""
    rng = np.random.default_rng(0)
    sizes = {}
    for size in (*SIZES, LONG_TAILED):
        rules: Dict[str, Dict[str, List[float]]] = {}
        for _ in range(draws):
            places = draw(logits, size, rng)
            found = powers_by_rule(
                logits.left[places].astype(np.float64),
                logits.left_labels[places],
                logits.counts,
                stated,
                known,
            )
            for rule, (power, temperature) in found.items():
                # Only their product moves a decision.
                tau = power * temperature
                row = dict(
                    accuracy=accuracy(logits, tau),
                    power=round(power, 3),
                    tau=round(tau, 3),
                )
                lists = rules.setdefault(rule, {key: [] for key in row})
                for key, value in row.items():
                    lists[key].append(value)
        sizes[str(size)] = dict(images=len(places), rules=rules)
    return dict(
        as_trained=accuracy(logits, 0),
        by_tau={f'{tau:.1f}': accuracy(logits, tau) for tau in TAUS},
        expected=known,
        stated=stated,
        sizes=sizes,
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--draws', type=int, default=100)
    parser.add_argument('--out', type=Path, default=OUT)
    parser.add_argument(
        '--logits',
        type=Path,
        default=Path('work_dirs/few_images'),
        help='folder that keeps the logits for the next call',
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show where an error came from, not only what was wrong',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    by_run = measured_powers()
    measured = {family: mean(powers) for family, powers in by_run.items()}
    stated = stated_powers(list(measured))
    models = {}
    for setting in FOLDERS:
        logits = read_logits(setting, args.logits)
        family = FAMILY.get(setting, setting)
        others = {k: v for k, v in measured.items() if k != family}
        models[setting] = measure(
            logits,
            stated[family],
            expected(fit_expected(others, stated), stated[family]),
            args.draws,
        )
        print(f'{setting}: {args.draws} draws of each size')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result = dict(
        draws=args.draws,
        families={
            family: dict(stated=stated[family], measured=powers)
            for family, powers in by_run.items()
        },
        fitted=fit_expected(measured, stated),
        models=models,
        versions=package_versions(),
        hardware=hardware(),
    )
    args.out.write_text(f'{json.dumps(result)}\n')


if __name__ == '__main__':
    arguments = parse_args()
    with one_line_errors('few_images.py', arguments.debug):
        main(arguments)
