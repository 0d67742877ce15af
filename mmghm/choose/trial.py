"""One method on one part of a train set, evaluated on the other."""

import copy
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from mmghm.datasets.subsets import split_held_out
from mmghm.deploy.network import build_model
from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.engine.grid import exclusive_lock
from mmghm.engine.launch import build_runner
from mmghm.engine.recipes import with_learning_rate
from mmghm.evaluation.calibration import fit_temperature
from mmghm.features.cached import (
    FEATURES,
    Features,
    linear_layer,
    read_features,
)
from mmghm.features.extract import dataset_features
from mmghm.features.frozen import initial_model
from mmghm.features.training import train_and_score
from mmghm.models.posthoc import (
    POSTHOC_METHODS,
    TAUS,
    LinearClassifier,
    choose_tau,
    remake_classifier,
)
from mmghm.utils.arrays import write_arrays


def _config(settings: Dict[str, Any]) -> Config:
    """The config of a trial, with the modules that it registers from."""
    # Its runners write their configs out four times; to format them takes
    # longer than some trainings.
    cfg = Config(settings, format_python_code=False)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    return cfg


def time_trial(settings: Dict[str, Any], seconds: float, threads: int) -> float:
    """Estimate the seconds of a whole trial, by some of its steps.

    Its loss must need no counts. It measures for so many ``seconds``.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        cfg = _config(settings)
        cfg.work_dir = folder
        runner = build_runner(cfg)
        loop = runner.build_train_loop(cfg.train_cfg)
        optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
        model = runner.model.train()
        step = _seconds_a_batch(
            loop.dataloader,
            lambda data: model.train_step(data, optim_wrapper=optimizer),
            seconds,
        )
        testing = runner.build_val_loop(cfg.val_cfg).dataloader
        model.eval()
        with torch.no_grad():
            tested = _seconds_a_batch(testing, model.val_step, seconds / 5)
    return step * loop.max_iters + tested * len(testing)


def _seconds_a_batch(loader: Any, do: Any, seconds: float) -> float:
    """Seconds of a batch, without the first two, which are slower."""
    start, done = 0.0, 0
    while True:
        for data in loader:
            do(data)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            done += 1
            now = time.perf_counter()
            if done == 2:
                start = now
            elif done > 2 and now - start >= seconds:
                return (now - start) / (done - 2)


def run_trial(
    settings: Dict[str, Any],
    out: Path,
    work_dir: Path,
    features: Optional[Path] = None,
    keep_classifier: bool = False,
    factors: Sequence[float] = (1.0,),
) -> None:
    """Train a trial and evaluate it on the held-out images.

    Args:
        settings (Dict[str, Any]): Of :func:`trial_config`.
        out (Path): The result, an .npz: ``predicted``, ``labels`` and
            ``confidence`` in [0, 1], (images,); ``seconds``; ``temperature``,
            which the held-out images ask for; ``factor`` of the learning rate;
            and ``of_factor``, predictions with each, (factors, images).
        work_dir (Path): Folder of logs and checkpoints.
        features (Optional[Path]): Where to write the backbone's features, too,
            if the classifier is kept.
        keep_classifier (bool): Whether the result holds ``weight`` and
            ``bias`` of the classifier, too.
        factors (Sequence[float]): Of the learning rate. Each half of the
            held-out images is evaluated with the one that is best on the
            other half, in macro accuracy.
    """
    with exclusive_lock(work_dir):
        if out.exists():
            return
        cfgs, scores, seconds = {}, {}, 0.0
        for factor in factors:
            cfg = with_learning_rate(_config(settings), factor)
            cfg.work_dir = str(
                work_dir if len(factors) == 1 else work_dir / f'lr_x{factor:g}'
            )
            scores[factor], labels, spent = train_and_score(cfg)
            cfgs[factor], seconds = cfg, seconds + spent
        chosen, factor = cross_fitted(scores, labels)
        shares = chosen.numpy()
        result = dict(
            predicted=shares.argmax(axis=1),
            labels=labels.numpy(),
            confidence=np.exp(shares.max(axis=1)),
            seconds=np.array(seconds),
            temperature=np.array(
                fit_temperature(
                    shares, labels.numpy(), np.zeros(shares.shape[1])
                )
            ),
            factor=np.array(factor),
            of_factor=np.stack(
                [found.argmax(1).numpy() for found in scores.values()]
            ),
        )
        if keep_classifier:
            cfg = cfgs[factor]
            # Of the checkpoint: it holds EMAHook's averages.
            last = next(complete_checkpoints(Path(cfg.work_dir)))
            model, _ = build_model(cfg, last, trust=True)
            weight, bias = linear_classifier(model.head)
            result.update(weight=weight.numpy(), bias=bias.numpy())
            if features is not None:
                write_arrays(features, **_features(model, cfg))
        write_arrays(out, **result)


def write_frozen_features(settings: Dict[str, Any], folder: Path) -> None:
    """Write into a folder the features of a backbone that training does not change."""
    with exclusive_lock(folder):
        if (folder / FEATURES).exists():
            return
        cfg = _config(settings)
        model = initial_model(cfg)
        write_arrays(folder / FEATURES, **_features(model, cfg, keep=True))


def _features(
    model: Any, cfg: Config, keep: bool = False
) -> Dict[str, np.ndarray]:
    """Features and labels of both parts, as they are tested."""
    model.to(get_device()).eval()
    found: List[np.ndarray] = []
    for part in ('train', 'holdout'):
        loader = copy.deepcopy(cfg.val_dataloader)
        loader.dataset.part = part
        features, labels, _ = dataset_features(
            model, loader, f'features of the {part} part', keep
        )
        found += [features.numpy(), labels.numpy()]
    return dict(zip(Features._fields, found))


def linear_classifier(head: Any) -> LinearClassifier:
    """Copy the last layer of a head of mmpretrain to the CPU."""
    layer = linear_layer(head)
    return LinearClassifier(
        layer.weight.detach().cpu().clone(), layer.bias.detach().cpu().clone()
    )


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
                *(torch.from_numpy(found[name]) for name in ('weight', 'bias'))
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

    Of scores (n, C) of held-out images with each setting, and their labels (n,):
    the scores of each half with the setting that has the best macro accuracy on
    the other half; and the setting that is best on all images.
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
