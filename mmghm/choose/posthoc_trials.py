"""Classifiers made anew from the softmax run."""

from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import torch
from torch import Tensor

from mmghm.datasets.subsets import split_held_out
from mmghm.engine.grid import exclusive_lock
from mmghm.models.posthoc import (
    POSTHOC_METHODS,
    TAUS,
    LinearClassifier,
    choose_tau,
    remake_classifier,
)

from .features import read_features
from .trial import write_arrays


def run_posthoc_trials(
    features: Path,
    softmax: Path,
    num_classes: int,
    seed: int,
    out: Path,
    work_dir: Path,
) -> None:
    """Make every classifier of :data:`POSTHOC_METHODS` and judge it.

    tau is chosen on one half of the held-out images for the other half, lest
    it be chosen by the images that judge it.

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
            remade = remake_classifier(
                method, trained, train, train_labels, counts, tau, seed=seed
            )
            return remade(holdout)

        result: Dict[str, np.ndarray] = {}
        for method in POSTHOC_METHODS:
            if method in TAUS:
                of_tau = {tau: scores(method, tau) for tau in TAUS[method]}
                chosen, tau = _cross_fitted(of_tau, labels)
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


def _cross_fitted(
    of_tau: Dict[float, Tensor], labels: Tensor
) -> Tuple[Tensor, float]:
    """Scores with tau chosen on the other half, and tau by all images."""
    taus = list(of_tau)
    chosen = of_tau[taus[0]].clone()
    halves = [
        torch.from_numpy(h) for h in split_held_out(labels.numpy(), 0.5, 0)
    ]
    for here, there in (halves, halves[::-1]):
        elsewhere = {tau: scores[there] for tau, scores in of_tau.items()}
        tau = choose_tau(elsewhere.__getitem__, labels[there], taus)
        chosen[here] = of_tau[tau][here]
    return chosen, choose_tau(of_tau.__getitem__, labels, taus)
