"""Train the classifier of a frozen network on features."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import save_checkpoint
from torch import Tensor

from mmghm.datasets.image_lists import image_list_digest, image_paths
from mmghm.datasets.subsets import split_held_out
from mmghm.deploy.network import build_model, unaugmented_loader
from mmghm.engine.checkpoints import ATOMIC, complete_checkpoints
from mmghm.engine.launch import build_runner
from mmghm.engine.recipes import (
    evaluated_at_end,
    run_length,
    with_learning_rate,
)
from mmghm.engine.safe_loading import read_checkpoint
from mmghm.engine.work_dir import PREDICTIONS, RECORD, RUN_FILE
from mmghm.models.posthoc import choose_tau
from mmghm.utils.arrays import write_arrays
from mmghm.utils.errors import UserError

from .cached import FEATURES, Features, feature_config, linear_layer
from .extract import dataset_features
from .frozen import initial_model, is_frozen

# Of the learning rate, tried where a run takes seconds.
FACTORS = (1 / 3, 1.0, 3.0)
# Of each class, to choose the learning rate on.
_HOLDOUT = 0.1


def train_and_score(cfg: Config) -> Tuple[Tensor, Tensor, float]:
    """Train, going on from the last checkpoint, and score held-out images.

    Given are the logarithms of the scores (n, C), labels (n,), and the seconds
    that training took.
    """
    saved = next(complete_checkpoints(Path(cfg.work_dir)), None)
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
    return (
        torch.from_numpy(scores.log_shares),
        torch.from_numpy(scores.labels),
        spent,
    )


def train_on_features(cfg: Config) -> None:
    """Train the classifier of a frozen network, and save the whole network.

    ``train_on_features`` of the config holds ``factors`` of the learning rate.
    If there are several, the best in macro accuracy on a tenth of the train
    images is taken, and all train images are trained on with it. No image of
    validation or test is chosen on.

    Args:
        cfg (Config): A config of a training, with a work dir.

    Raises:
        UserError: If more than a linear classifier is trained, or the run is
            distributed or resumed.
    """
    if not is_frozen(cfg):
        raise UserError(
            'train_on_features trains nothing but a linear classifier, and this '
            'network has more to learn: set FREEZE=yes, or train_on_features to '
            'False'
        )
    if cfg.launcher != 'none' or cfg.resume:
        raise UserError(
            'train_on_features takes minutes on one device: start it again '
            'without a launcher and without --resume'
        )
    if not cfg.get('val_dataloader'):
        raise UserError(
            'train_on_features validates once, when it has trained: leave out '
            '--no-validate'
        )
    model = initial_model(cfg).to(get_device()).eval()
    train, train_labels, dataset = dataset_features(
        model,
        unaugmented_loader(cfg, 'train_dataloader'),
        'features of the train images',
        keep=True,
    )
    val, val_labels, val_set = dataset_features(
        model,
        cfg.val_dataloader,
        'features of the validation images',
        keep=True,
    )
    features = Features(train, train_labels, val, val_labels)
    factors = cfg.train_on_features.get('factors', FACTORS)
    with tempfile.TemporaryDirectory() as folder:
        factor = _best_factor(cfg, features, factors, Path(folder))
        path = Path(folder) / FEATURES
        _write(path, features)
        settings = feature_config(with_learning_rate(cfg, factor), path)
        # Once, at the end: older MMEngine leaves the last epoch out
        # where the interval does not divide the epochs.
        settings.train_cfg.val_interval = run_length(settings)
        classes = list(dataset.metainfo.get('classes') or ())
        for loader in (settings.train_dataloader, settings.val_dataloader):
            loader.dataset.classes = classes
        build_runner(settings).train()
        last = next(complete_checkpoints(Path(cfg.work_dir)))
        images = _note_images(Path(cfg.work_dir), dataset, val_set)
        put_in(model.head, build_model(settings, last, trust=True)[0].head)
    meta = dict(read_checkpoint(last, trust=True)['meta'], images=images)
    save_checkpoint(
        dict(state_dict=model.cpu().state_dict(), meta=meta),
        last,
        backend_args=dict(backend=ATOMIC),
    )
    cfg.dump(str(Path(cfg.work_dir) / Path(cfg.filename).name))
    print_log(f'The whole network: {last}', 'current')


def _best_factor(
    cfg: Config, features: Features, factors: Sequence[float], folder: Path
) -> float:
    """The factor of the learning rate with the best macro accuracy."""
    if len(factors) == 1:
        return factors[0]
    labels = features.train_labels
    rest, held = split_held_out(labels.numpy(), _HOLDOUT, 0)
    path = folder / 'search.npz'
    _write(
        path,
        Features(
            *(features.train[rest], labels[rest]),
            *(features.train[held], labels[held]),
        ),
    )
    scores: Dict[float, Tensor] = {}
    for factor in factors:
        settings = evaluated_at_end(with_learning_rate(cfg, factor))
        settings = feature_config(settings, path)
        settings.work_dir = str(folder / f'lr_x{factor:g}')
        scores[factor], held_labels, _ = train_and_score(settings)
    best = choose_tau(scores.__getitem__, held_labels, list(factors))
    rate = cfg.optim_wrapper.optimizer.lr
    print_log(
        f'Learning rate {rate * best:g}: of '
        f'{", ".join(f"{rate * factor:g}" for factor in factors)} the best in '
        f'macro accuracy on {len(held):,} train images, held out for this.',
        'current',
    )
    return best


def _note_images(work_dir: Path, train: Any, val: Any) -> Dict[str, List[str]]:
    """Say in the record which images the features are of."""
    images = {
        part: [image_list_digest(dataset)]
        for part, dataset in (('train', train), ('val', val))
    }
    path, paths = work_dir / RECORD / PREDICTIONS, image_paths(val)
    if path.exists() and any(paths):
        with np.load(path) as found:
            write_arrays(path, **found, image=np.array(paths))
    path = work_dir / RECORD / RUN_FILE
    if path.exists():
        record = dict(json.loads(path.read_text()), images=images)
        path.write_text(json.dumps(record, indent=1))
    return images


def _write(path: Path, features: Features) -> None:
    write_arrays(path, **{k: v.numpy() for k, v in features._asdict().items()})


def put_in(head: Any, trained: Any) -> None:
    """Give a head what another one, of the same last layer, has learned."""
    if type(head) is type(trained):
        head.load_state_dict(trained.state_dict())
        return
    with torch.no_grad():
        layer, found = linear_layer(head), linear_layer(trained)
        layer.weight.copy_(found.weight)
        layer.bias.copy_(found.bias)
    head.loss_module.load_state_dict(trained.loss_module.state_dict())
