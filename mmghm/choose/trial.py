"""One method on one part of a train set, evaluated on the other."""

import copy
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.utils import import_modules_from_strings

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
)
from mmghm.features.extract import dataset_features
from mmghm.features.frozen import initial_model
from mmghm.features.training import train_and_score
from mmghm.models.posthoc import LinearClassifier
from mmghm.utils.arrays import write_arrays

from .posthoc_trials import cross_fitted


def _config(settings: Dict[str, Any]) -> Config:
    """The config of a trial, with the modules that it registers from."""
    cfg = Config(settings)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    return cfg


def time_trial(settings: Dict[str, Any], seconds: float = 10) -> float:
    """Estimate how long a trial will take, by some of its steps.

    Args:
        settings (Dict[str, Any]): The trial; its loss must need no counts.
        seconds (float): How long to measure.

    Returns:
        float: Seconds of the whole trial.
    """
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
        features (Optional[Path]): Where to write the backbone's features.
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
        cfg = cfgs[factor]
        # Of the checkpoint: it holds EMAHook's averages.
        last = next(complete_checkpoints(Path(cfg.work_dir)))
        if features is not None:
            model, _ = build_model(cfg, last, trust=True)
            write_arrays(features, **_features(model, cfg))
        if keep_classifier:
            classifier = linear_classifier(
                build_model(cfg, last, trust=True)[0].head
            )
            result.update(
                weight=classifier.weight.numpy(), bias=classifier.bias.numpy()
            )
        write_arrays(out, **result)


def write_frozen_features(settings: Dict[str, Any], folder: Path) -> None:
    """Write the features of a backbone that training does not change.

    Args:
        settings (Dict[str, Any]): A trial.
        folder (Path): Where to write them.
    """
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
    """Copy the last layer of a head.

    Args:
        head (Any): A head of mmpretrain.

    Returns:
        LinearClassifier: On the CPU.
    """
    layer = linear_layer(head)
    return LinearClassifier(
        layer.weight.detach().cpu().clone(), layer.bias.detach().cpu().clone()
    )
