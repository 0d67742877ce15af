"""What a classifier's last layer gets of images."""

import json
from functools import partial
from hashlib import sha256
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor
from torch.utils.data import Subset

from mmghm.datasets.class_counts import dataset_labels
from mmghm.datasets.image_lists import image_paths
from mmghm.deploy.network import (
    dataset_logits,
    head_logits,
    innermost,
    run_dataset,
)
from mmghm.utils.environment import package_versions

from .frozen import is_frozen
from .store import FeatureStore, cache_limit, image_keys

# Images whose features are written at a time: what a kill may cost.
_CHUNK = 1024


def dataset_features(
    model: Any, loader_cfg: dict, what: str, keep: bool = False
) -> Tuple[Tensor, Tensor, Any]:
    """What a classifier's last layer gets of a dataset, as it is tested.

    Args:
        model (Any): The classifier.
        loader_cfg (dict): Config of a dataloader with the test pipeline.
        what (str): Which images these are, for the progress bar.
        keep (bool): Keep the features in the user's cache, see
            :class:`FeatureStore`, and take what is there: for a network that
            is used again and again, and images in files.

    Returns:
        Tuple[Tensor, Tensor, Any]: Features (n, D), labels (n,) and the dataset.
    """
    output = partial(model.extract_feat, stage='pre_logits')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = loader_cfg['dataset']
        pipeline = None
        if isinstance(dataset, dict):
            pipeline = innermost(dataset).get('pipeline')
            dataset = DATASETS.build(dataset)
    keys: Optional[List[bytes]] = None
    width: Any = getattr(model.head, 'hidden_dim', None)
    width = width or getattr(model.head, 'in_channels', 0)
    if keep and width and pipeline is not None and cache_limit():
        keys = image_keys(image_paths(dataset))
    if not keys:
        whole = {**loader_cfg, 'dataset': dataset}
        return run_dataset(model, whole, what, output)
    store = FeatureStore(_network(model, pipeline), width)
    known = store.read(keys)
    # Once each, should an image be there twice.
    missing = list(
        {k: i for i, k in enumerate(keys) if k not in known}.values()
    )
    for start in range(0, len(missing), _CHUNK):
        part = missing[start : start + _CHUNK]
        done = f' ({start:,} of {len(missing):,} done)' if start else ''
        chunk = {**loader_cfg, 'dataset': Subset(dataset, part)}
        features, _, _ = run_dataset(model, chunk, what + done, output)
        store.append([keys[i] for i in part], features.numpy())
    known = store.read(keys)
    if not all(key in known for key in keys):
        # Another process took the room.
        return run_dataset(
            model, {**loader_cfg, 'dataset': dataset}, what, output
        )
    found = store.rows([known[key] for key in keys])
    store.make_room()
    labels = torch.from_numpy(np.asarray(dataset_labels(dataset)))
    return torch.from_numpy(found), labels, dataset


@torch.inference_mode()
def logits_of(
    model: Any, cfg: Config, loader_cfg: dict, what: str
) -> Tuple[np.ndarray, np.ndarray, Any]:
    """Logits (n, C), labels (n,) and the dataset that a config of a loader
    names.

    They come by kept features if the config of the training freezes the
    network.
    """
    if not is_frozen(cfg):
        return dataset_logits(model, loader_cfg, what)
    features, labels, dataset = dataset_features(
        model, loader_cfg, what, keep=True
    )
    logits = head_logits(model.head, (features,))
    return logits.numpy(), labels.numpy(), dataset


def _structure(part: Any) -> List[Any]:
    """Modules of a part of a network, with all their plain settings."""
    modules = part.modules() if part is not None else ()
    return [
        repr(part),
        *({k: v for k, v in vars(m).items() if _plain(v)} for m in modules),
    ]


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return isinstance(value, (bool, int, float, str))


def _network(model: Any, pipeline: Any) -> str:
    """Digits that tell a network and its pipeline from others."""
    digest = sha256()
    preprocessor = model.data_preprocessor
    facts = dict(
        network=[
            _structure(model.backbone),
            _structure(getattr(model, 'neck', None)),
        ],
        pipeline=pipeline,
        preprocessor={
            name: getattr(preprocessor, name, None)
            for name in ('to_rgb', 'pad_size_divisor', '_enable_normalize')
        },
        device=str(next(model.parameters()).device.type),
        versions=package_versions(),
    )
    digest.update(json.dumps(facts, sort_keys=True, default=repr).encode())
    tensors: Dict[str, Tensor] = dict(model.state_dict())
    for name in ('mean', 'std'):
        value = getattr(preprocessor, name, None)
        if torch.is_tensor(value):
            tensors[name] = value
    for name, value in sorted(tensors.items()):
        # The last layer and the loss come after the features.
        if name.startswith('head.') and '.pre_logits.' not in name:
            continue
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
