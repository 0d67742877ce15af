"""Train images to look at: near a mistake, or with a label that may be wrong."""

import os
import warnings
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS, DefaultScope
from mmengine.utils import import_modules_from_strings
from torch.utils.data import Subset

from mmghm.datasets.image_lists import image_paths
from mmghm.deploy.network import build_model, unaugmented_loader
from mmghm.deploy.page import thumbnail
from mmghm.engine.recipes import type_name
from mmghm.evaluation import group_classes
from mmghm.evaluation.groups import QUARTILE_NAMES
from mmghm.features.extract import dataset_features
from mmghm.features.frozen import is_frozen
from mmghm.utils.dependencies import LazyModule, import_optional
from mmghm.utils.errors import UserError, settings_errors
from mmghm.utils.literals import read_settings
from mmghm.utils.text import TextConsole

from .mistakes import SHOWN, SIDE, surest_mistakes
from .run import Run, training_configs

# cleanlab brings both.
cleanlab = LazyModule('cleanlab.filter')

# Shown under a mistake.
_NEAREST = 3
_FOLDS = 5
# Images times classes: float64 probabilities of 1.6 GB.
_MOST_PROBABILITIES = 200_000_000
# Wrappers that hand out an image several times: it would be its own neighbour,
# and vouch for its own label.
_REPEATING = ('RepeatDataset', 'ClassBalancedDataset')
_NEEDED = ('model', 'train_dataloader')


class LabelIssues(NamedTuple):
    """Images whose label may be wrong, the least likely label first.

    Args:
        images (np.ndarray): Their numbers, int64 (m,).
        suggested (np.ndarray): Classes that they look like, int64 (m,).
        confidence (np.ndarray): Probability of the given label, in [0, 1],
            (m,).
    """

    images: np.ndarray
    suggested: np.ndarray
    confidence: np.ndarray


def nearest(
    features: np.ndarray, train: np.ndarray, number: int = _NEAREST
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the nearest train images by cosine similarity.

    Of features (m, D) of images and (n, D) of train images: numbers, int64
    (m, k), of the ``number`` nearest, or all n, the first of equal ones first;
    and their similarities, in [-1, 1], (m, k).
    """
    similarity = _unit(features) @ _unit(train).T
    order = np.argsort(-similarity, axis=1, kind='stable')[:, :number]
    return order, np.take_along_axis(similarity, order, 1)


def label_issues(features: np.ndarray, labels: np.ndarray) -> LabelIssues:
    """Find images whose label may be wrong: confident learning by cleanlab.

    Northcutt et al. 2021, on the probabilities of logistic regression on
    features of length 1. Each image is predicted by a classifier that was
    fitted to other images. Images of a class that has no other image are left
    out; of fewer than two classes with two images there are none.

    Features are finite, (n, D), labels at least 0, int64 (n,). A UserError says
    that cleanlab is missing, or the probabilities would take more than 1.6 GB.
    """
    known = np.flatnonzero(np.bincount(labels)[labels] > 1)
    classes, compact = np.unique(labels[known], return_inverse=True)
    if len(known) * len(classes) > _MOST_PROBABILITIES:
        raise UserError(
            f'{len(known):,} images of {len(classes):,} classes are too many '
            'to look for wrong labels: images times classes may be at most '
            f'{_MOST_PROBABILITIES:,}'
        )
    if len(classes) < 2:
        nothing = np.zeros(0, np.int64)
        return LabelIssues(nothing, nothing, np.zeros(0))
    # Missing, it is told before anything is fitted.
    find = cleanlab.find_label_issues
    probabilities = _out_of_sample(features[known], compact)
    found = find(
        compact,
        probabilities,
        return_indices_ranked_by='self_confidence',
        n_jobs=1,
    )
    return LabelIssues(
        known[found],
        classes[probabilities[found].argmax(axis=1)],
        probabilities[found, compact[found]],
    )


def _out_of_sample(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) by classifiers that have not seen the image.

    Each of the K classes has two images or more. They are dealt out to the
    folds in turn, so that every classifier knows every class.
    """
    linear_model = import_optional('sklearn.linear_model')
    selection = import_optional('sklearn.model_selection')
    folds = min(_FOLDS, int(np.bincount(labels).max()))
    splitter = selection.StratifiedKFold(folds, shuffle=True, random_state=0)
    status = TextConsole().status('Looking for wrong labels')
    with warnings.catch_warnings(), status:
        # Classes with fewer images than there are folds, and a fit that is
        # good enough before it has converged.
        warnings.simplefilter('ignore', UserWarning)
        return selection.cross_val_predict(
            linear_model.LogisticRegression(C=10, tol=1e-3),
            _unit(features),
            labels,
            cv=splitter,
            method='predict_proba',
        )


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(np.float32).tiny)


def _shown(path: str) -> Tuple[str, str]:
    return thumbnail(path, SIDE), Path(path).name


def describe_issues(
    issues: LabelIssues,
    labels: np.ndarray,
    class_names: Sequence[str],
    paths: Sequence[str],
) -> Dict[str, Any]:
    """Make of issues among n train images what the page shows, in plain values.

    ``single``, classes with one image. ``groups``: for each quarter of the
    classes by train images its name, classes, images, and images on the list.
    ``tail`` and ``head``, the first of the rarest quarter and of the others:
    picture as a data address (empty if it cannot be read), file name, given
    label, suggested label, probability of the given label in percent.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    _, groups = group_classes(counts, 'quartile')
    flagged = np.bincount(labels[issues.images], minlength=len(class_names))
    of_tail = np.isin(labels[issues.images], groups[QUARTILE_NAMES[-1]])

    def rows(chosen: np.ndarray) -> List[list]:
        return [
            [
                *_shown(paths[issues.images[i]]),
                class_names[labels[issues.images[i]]],
                class_names[issues.suggested[i]],
                round(100 * float(issues.confidence[i]), 1),
            ]
            for i in np.flatnonzero(chosen)[:SHOWN]
        ]

    return dict(
        single=int((counts == 1).sum()),
        groups=[
            [
                name,
                len(members),
                int(counts[members].sum()),
                int(flagged[members].sum()),
            ]
            for name, members in groups.items()
            if len(members)
        ],
        tail=rows(of_tail),
        head=rows(~of_tail),
    )


def look_at_train_images(
    run: Run, work_dir: Path, checkpoint: str
) -> Dict[str, Any]:
    """Compare a run's train images with its mistakes and with each other.

    By what the classifier's last layer gets of them, as they are tested. The
    config in ``work_dir`` is built, not run; ``checkpoint`` is the file or
    address of one of its checkpoints.

    Gives plain values. ``note``: why there is nothing else. ``nearest``: for
    each of :func:`surest_mistakes` its nearest train images: picture, file
    name, class, cosine similarity. ``labels``: of :func:`describe_issues`, or a
    ``note``. A UserError says that the work dir holds no whole config, the
    checkpoint does not fit it, or a network gives features that are not finite.
    """
    cfg = _whole_config(work_dir)
    model, _ = build_model(cfg, checkpoint)
    if not hasattr(getattr(model, 'head', None), 'pre_logits'):
        raise UserError(
            f'--checkpoint needs a classification head, got '
            f'{type(model).__name__}'
        )
    model = model.to(get_device())
    loader = unaugmented_loader(cfg, 'train_dataloader')
    while type_name(loader.dataset) in _REPEATING:
        loader.dataset = loader.dataset.dataset
    paths = image_paths(_built(loader.dataset))
    if not any(paths):
        return dict(note='The train images are not in files: none is shown.')
    found, found_labels, dataset = dataset_features(
        model, loader, 'features of the train images', keep=is_frozen(cfg)
    )
    features, labels = found.numpy(), found_labels.numpy()
    if not np.isfinite(features).all():
        raise UserError(f'{checkpoint} gives features that are not finite')
    names = [str(n) for n in dataset.metainfo.get('classes') or ()]
    number = max(model.head.num_classes, int(labels.max()) + 1)
    names += [str(i) for i in range(len(names), number)]
    train = (features, labels, paths)
    return dict(
        note='',
        nearest=_near_mistakes(run, model, cfg, train, names),
        labels=_labels(*train, names),
    )


def _whole_config(work_dir: Path) -> Config:
    """The config that was trained with, without running its file.

    Training on features logs another one and leaves the whole one beside.
    """
    newest = sorted(
        work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime
    )
    for path in [*newest, *training_configs(work_dir)][::-1]:
        text = path.read_text(encoding='utf-8', errors='replace')
        cfg = Config(read_settings(text))
        tested = cfg.get('test_dataloader') or cfg.get('val_dataloader')
        if not (tested and all(cfg.get(name) for name in _NEEDED)):
            continue
        if (
            type_name(cfg.train_dataloader.get('dataset', {}))
            != 'CachedFeatures'
        ):
            cfg.test_dataloader = tested
            # As reading the file would.
            if cfg.get('custom_imports'):
                with settings_errors():
                    import_modules_from_strings(**cfg.custom_imports)
            return cfg
    raise UserError(
        f'{work_dir} holds no whole config for --checkpoint: it needs '
        f'{", ".join(_NEEDED)}, and test_dataloader or val_dataloader'
    )


def _built(dataset: Any) -> Any:
    with DefaultScope.overwrite_default_scope('mmpretrain'), settings_errors():
        return DATASETS.build(dataset)


def _near_mistakes(
    run: Run,
    model: Any,
    cfg: Config,
    train: Tuple[np.ndarray, np.ndarray, List[str]],
    names: Sequence[str],
) -> List[List[list]]:
    """For each mistake with an image file its nearest train images."""
    mistakes = surest_mistakes(run.predictions or {})
    if not len(mistakes) or not cfg.get('val_dataloader'):
        return []
    assert run.predictions is not None, 'there are mistakes'
    features, labels, paths = train
    loader = unaugmented_loader(cfg, 'val_dataloader')
    dataset = _built(loader.dataset)
    places = {path: i for i, path in enumerate(image_paths(dataset))}
    shown = [os.path.abspath(p) for p in run.predictions['image'][mistakes]]
    rows: List[List[list]] = [[] for _ in shown]
    known = {i: places[path] for i, path in enumerate(shown) if path in places}
    if not known:
        return rows
    images = Subset(dataset, list(known.values()))
    found, _, _ = dataset_features(
        model, {**loader, 'dataset': images}, 'features of the mistakes'
    )
    for row, near, values in zip(known, *nearest(found.numpy(), features)):
        rows[row] = [
            [*_shown(paths[i]), names[labels[i]], round(float(value), 2)]
            for i, value in zip(near, values)
        ]
    return rows


def _labels(
    features: np.ndarray,
    labels: np.ndarray,
    paths: Sequence[str],
    names: Sequence[str],
) -> Dict[str, Any]:
    try:
        issues = label_issues(features, labels)
    except UserError as error:
        return dict(note=f'Not looked for: {error}')
    return describe_issues(issues, labels, names, paths)
