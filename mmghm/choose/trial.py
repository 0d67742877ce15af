"""One method on one part of a train set, judged on the other."""

import copy
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from mmpretrain.registry import MODELS

from mmghm.deploy.network import build_model, dataset_features
from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.engine.grid import exclusive_lock
from mmghm.engine.launch import build_runner
from mmghm.models.posthoc import LinearClassifier
from mmghm.utils.errors import UserError, settings_errors

from .features import FEATURES, Features


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
        judging = runner.build_val_loop(cfg.val_cfg).dataloader
        model.eval()
        with torch.no_grad():
            judged = _seconds_a_batch(judging, model.val_step, seconds / 5)
    return step * loop.max_iters + judged * len(judging)


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
) -> None:
    """Train a trial, going on from its last checkpoint, and judge it.

    Args:
        settings (Dict[str, Any]): Of :func:`trial_config`.
        out (Path): The result: an .npz of ``predicted`` and ``labels``,
            (images,), ``confidence``, in [0, 1], and ``seconds``.
        work_dir (Path): Folder of logs and checkpoints.
        features (Optional[Path]): Where to write the backbone's features.
        keep_classifier (bool): Whether the result holds ``weight`` and
            ``bias`` of the classifier, too.
    """
    with exclusive_lock(work_dir):
        if out.exists():
            return
        cfg = _config(settings)
        cfg.work_dir = str(work_dir)
        saved = next(complete_checkpoints(work_dir), None)
        if saved is not None:
            cfg.resume, cfg.load_from = True, saved
        start = time.time()
        runner = build_runner(cfg)
        runner.train()
        spent = time.time() - start
        (scores,) = runner.val_evaluator.metrics
        if not len(scores.labels):
            # Trained before, but killed before the result was written.
            runner.val()
        result = dict(
            predicted=scores.log_shares.argmax(axis=1),
            labels=scores.labels,
            confidence=np.exp(scores.log_shares.max(axis=1)),
            seconds=np.array(spent),
        )
        # Of the checkpoint: it holds EMAHook's averages.
        last = next(complete_checkpoints(work_dir))
        if features is not None:
            model, _ = build_model(cfg, last, trust=True)
            write_arrays(features, **_features(model, cfg))
        if keep_classifier:
            model, _ = build_model(cfg, last, trust=True)
            classifier = linear_classifier(model.head)
            result.update(
                weight=classifier.weight.numpy(), bias=classifier.bias.numpy()
            )
        write_arrays(out, **result)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz whole or not at all.

    Args:
        path (Path): The file.
        **arrays (np.ndarray): What it holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def write_frozen_features(settings: Dict[str, Any], folder: Path) -> None:
    """Write the features of a backbone that training does not change.

    Args:
        settings (Dict[str, Any]): A trial.
        folder (Path): Where to write them.
    """
    with exclusive_lock(folder), tempfile.TemporaryDirectory() as work_dir:
        if (folder / FEATURES).exists():
            return
        cfg = _config(settings)
        cfg.work_dir = work_dir
        runner = build_runner(cfg)
        runner._init_model_weights()
        if cfg.get('load_from'):
            runner.load_checkpoint(cfg.load_from)
        write_arrays(folder / FEATURES, **_features(runner.model, cfg))


def _features(model: Any, cfg: Config) -> Dict[str, np.ndarray]:
    """Features and labels of both parts, as they are tested."""
    model.to(get_device()).eval()
    found: List[np.ndarray] = []
    for part in ('train', 'holdout'):
        loader = copy.deepcopy(cfg.val_dataloader)
        loader.dataset.part = part
        features, labels, _ = dataset_features(
            model, loader, f'features of the {part} part'
        )
        found += [features.numpy(), labels.numpy()]
    return dict(zip(Features._fields, found))


def linear_layer(head: Any) -> torch.nn.Linear:
    """The last layer of a head.

    Args:
        head (Any): A head of mmpretrain.

    Returns:
        torch.nn.Linear: The layer.

    Raises:
        UserError: If it is not linear.
    """
    layer = getattr(head, 'fc', None)
    if layer is None and hasattr(head, 'layers'):
        # VisionTransformerClsHead.
        layer = getattr(head.layers, 'head', None)
    if not isinstance(layer, torch.nn.Linear) or layer.bias is None:
        raise UserError(
            'classifiers can be made anew for heads with a linear layer, got '
            f'{type(head).__name__}'
        )
    return layer


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


def is_frozen(cfg: Config) -> bool:
    """Whether training changes nothing but a linear classifier.

    Args:
        cfg (Config): Any config of a training.

    Returns:
        bool: True if neither backbone nor neck learn, batch statistics
        included, and the head has no hidden layer.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'), settings_errors():
        model = MODELS.build(cfg.model).train()
    for name in ('backbone', 'neck'):
        part = getattr(model, name, None)
        if part is None:
            continue
        if any(p.requires_grad for p in part.parameters()):
            return False
        if any(
            isinstance(m, torch.nn.modules.batchnorm._BatchNorm) and m.training
            for m in part.modules()
        ):
            return False
    return not cfg.model.head.get('hidden_dim')
