"""Features as a dataset, and the config of a training on them."""

import copy
from pathlib import Path
from typing import Any, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import DATASETS
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmghm.engine.recipes import LINEAR_HEADS, run_length, type_name
from mmghm.utils.errors import UserError

# Inside the folder of the run that they come from.
FEATURES = 'features.npz'


class Features(NamedTuple):
    """Features of a divided train set, (n, D) and (m, D), with their labels."""

    train: Tensor
    train_labels: Tensor
    holdout: Tensor
    holdout_labels: Tensor


def read_features(path: Path) -> Features:
    """Read an .npz with the fields of :class:`Features`."""
    with np.load(path) as found:
        return Features(*(torch.from_numpy(found[f]) for f in Features._fields))


def feature_config(trial: Config, path: Path) -> Config:
    """Make of a training one on features: the recipe stays, the network goes.

    Without augmentation: the features are those of the images as they are
    tested.
    """
    cfg = copy.deepcopy(trial)
    features = read_features(path)
    head = cfg.model.head
    kept = dict(head)
    kept['type'] = type_name(head)
    if kept['type'] not in LINEAR_HEADS:
        # Its last layer is the same, see trial.linear_layer.
        kept = {k: head[k] for k in ('loss', 'init_cfg') if k in head}
        kept['type'] = 'LinearClsHead'
    cfg.model = ConfigDict(
        type='ImageClassifier',
        backbone=dict(type='IdentityBackbone'),
        head=dict(
            kept,
            num_classes=head.num_classes,
            in_channels=features.train.size(1),
        ),
    )
    cfg.data_preprocessor = ConfigDict(
        type='BatchDataPreprocessor', num_classes=head.num_classes
    )
    cfg.load_from = None
    # It is over so soon that a kill may cost all of it.
    cfg.default_hooks.checkpoint.interval = run_length(cfg)
    for field, part in (
        ('train_dataloader', 'train'),
        ('val_dataloader', 'holdout'),
    ):
        loader = cfg[field]
        for name in ('prefetch_factor', 'worker_init_fn', 'pin_memory'):
            loader.pop(name, None)
        loader.num_workers, loader.persistent_workers = 0, False
        loader.collate_fn = ConfigDict(type='keep_batch')
        loader.dataset = ConfigDict(
            type='CachedFeatures',
            path=str(path),
            part=part,
            num_classes=head.num_classes,
        )
    if type_name(cfg.train_dataloader.sampler) == 'ShardSampler':
        cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    return cfg


@DATASETS.register_module()
class CachedFeatures:
    """Features in memory, by whole batches as :class:`InMemoryDataset`.

    Args:
        path (str): Of the features.
        part (str): ``'train'`` or ``'holdout'``.
        num_classes (int): C.
        classes (Sequence[str]): Names of the classes, if they are known.
    """

    def __init__(
        self,
        path: str,
        part: str,
        num_classes: int,
        classes: Sequence[str] = (),
    ) -> None:
        features = read_features(Path(path))
        self._inputs: Tensor = getattr(features, part)
        self._labels: Tensor = getattr(features, f'{part}_labels')
        self.num_classes = num_classes
        self.metainfo: Dict[str, Any] = dict(classes=tuple(classes) or None)

    @property
    def class_counts(self) -> np.ndarray:
        """Images per class, int64 (C,)."""
        return np.bincount(self._labels.numpy(), minlength=self.num_classes)

    def get_gt_labels(self) -> np.ndarray:
        """Label of every image, int64 (n,)."""
        return self._labels.numpy()

    def __getitems__(self, indices: Sequence[int]) -> Dict[str, Tensor]:
        """A batch: ``inputs``, float32 (B, D), and ``labels``, int64 (B,)."""
        index = torch.as_tensor(np.asarray(indices))
        return dict(inputs=self._inputs[index], labels=self._labels[index])

    def __getitem__(self, idx: int) -> Dict[str, Tensor]:
        return dict(inputs=self._inputs[idx], labels=self._labels[idx])

    def __len__(self) -> int:
        return len(self._labels)


@MODELS.register_module()
class IdentityBackbone(BaseModule):
    """A backbone for inputs that are features already."""

    def forward(self, features: Tensor) -> Tuple[Tensor]:
        """Hand the features on."""
        return (features,)


def linear_layer(head: Any) -> nn.Linear:
    """The last layer of a head of mmpretrain; refuse what is not linear."""
    layer = getattr(head, 'fc', None)
    if layer is None and hasattr(head, 'layers'):
        # VisionTransformerClsHead.
        layer = getattr(head.layers, 'head', None)
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        raise UserError(
            'classifiers can be trained again for heads with a linear layer, '
            f'got {type(head).__name__}'
        )
    return layer
