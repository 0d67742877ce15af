"""Post-hoc classifiers, on the features of the softmax run."""

from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from mmghm.datasets.subsets import split_held_out
from mmghm.engine.grid import exclusive_lock
from mmghm.features.cached import read_features
from mmghm.models.posthoc import (
    POSTHOC_METHODS,
    TAUS,
    LinearClassifier,
    choose_tau,
    remake_classifier,
)
from mmghm.utils.arrays import write_arrays


def run_posthoc_trials(
    features: Path,
    softmax: Path,
    num_classes: int,
    seed: int,
    out: Path,
    work_dir: Path,
) -> None:
    """Fit every classifier of :data:`POSTHOC_METHODS` and evaluate it.

    tau is chosen on one half of the held-out images for the other half, so
    that no image evaluates a tau that was chosen on it.

    Args:
        features (Path): Of the backbone.
        softmax (Path): Result of the softmax run, with its classifier.
        num_classes (int): C.
        seed (int): Of cRT and LWS.
        out (Path): The result: an .npz with ``METHOD.predicted`` and
            ``METHOD.confidence``, (images,); ``METHOD.tau``, chosen on all
            held-out images; ``METHOD.curve``, predictions for each of
            :data:`TAUS`, (taus, images).
        work_dir (Path): Folder of its log.
    """
    with exclusive_lock(work_dir):
        if out.exists():
            return
        train, train_labels, holdout, labels = read_features(features)
        with np.load(softmax) as found:
            trained = LinearClassifier(
                torch.from_numpy(found['weight']),
                torch.from_numpy(found['bias']),
            )
        counts = torch.bincount(train_labels, minlength=num_classes)

        def scores(method: str, tau: float = 0.0) -> Tensor:
            fitted = remake_classifier(
                method, trained, train, train_labels, counts, tau, seed=seed
            )
            return fitted(holdout)

        result: Dict[str, np.ndarray] = {}
        for method in POSTHOC_METHODS:
            if method in TAUS:
                of_tau = {tau: scores(method, tau) for tau in TAUS[method]}
                chosen, tau = cross_fitted(of_tau, labels)
                result[f'{method}.tau'] = np.array(tau)
                result[f'{method}.curve'] = np.stack(
                    [found.argmax(1).numpy() for found in of_tau.values()]
                )
            else:
                chosen = scores(method)
            result[f'{method}.predicted'] = chosen.argmax(1).numpy()
            confidence = chosen.softmax(1).amax(1)
            result[f'{method}.confidence'] = confidence.numpy()
        write_arrays(out, **result)


def cross_fitted(
    of_setting: Dict[float, Tensor], labels: Tensor
) -> Tuple[Tensor, float]:
    """Choose a setting on images without evaluating it on the same images.

    Args:
        of_setting (Dict[float, Tensor]): Scores (n, C) with each setting.
        labels (Tensor): Labels of held-out images, (n,).

    Returns:
        Tuple[Tensor, float]: Scores (n, C), each half with the setting that
        has the best macro accuracy on the other half; and the setting that is
        best on all images.
    """
    settings = list(of_setting)
    chosen = of_setting[settings[0]].clone()
    if len(settings) > 1:
        halves = [
            torch.from_numpy(half)
            for half in split_held_out(labels.numpy(), 0.5, 0)
        ]
        for here, there in (halves, halves[::-1]):
            elsewhere = {k: scores[there] for k, scores in of_setting.items()}
            best = choose_tau(elsewhere.__getitem__, labels[there], settings)
            chosen[here] = of_setting[best][here]
    return chosen, choose_tau(of_setting.__getitem__, labels, settings)
