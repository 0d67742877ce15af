"""A classifier as a plain module: from images to logits."""

import copy
import ctypes
import sys
from functools import cache
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmghm.engine.safe_loading import read_checkpoint
from mmghm.utils.errors import UserError, settings_errors
from mmghm.utils.progress import tracked

from .shapes import is_used

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


class Classifier(nn.Module):
    """Normalisation, network and head of an ``ImageClassifier``.

    Takes images as people have them, RGB in [0, 255], and gives logits whose
    softmax is what the head predicts. The one definition that predictions,
    calibration and exports share.

    Args:
        model (Any): mmpretrain's classifier, with its data preprocessor.
        takes_bgr (bool): Whether the preprocessor expects what mmcv loads from
            files, blue first; else what datasets of decoded images give, RGB.

    Raises:
        UserError: If its head does not give one score per class, or the
            preprocessor pads batches.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, takes_bgr: bool) -> None:
        super().__init__()
        preprocessor = model.data_preprocessor
        if not isinstance(preprocessor, ClsDataPreprocessor) or (
            preprocessor.pad_size_divisor > 1
        ):
            raise UserError(
                'a model in use needs ClsDataPreprocessor without padding, got '
                f'{type(preprocessor).__name__}'
            )
        if not hasattr(getattr(model, 'head', None), 'pre_logits'):
            raise UserError(
                f'a model in use needs a classification head, got '
                f'{type(model).__name__}'
            )
        self.network = model.eval()
        mean, std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
        if preprocessor._enable_normalize:
            mean, std = preprocessor.mean, preprocessor.std
        self.register_buffer('mean', mean.detach().clone().float())
        self.register_buffer('std', std.detach().clone().float())
        # RGB comes in; it is turned where the network was fed blue first.
        self.flips = takes_bgr != bool(preprocessor.to_rgb)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits, float32 (B, C).

        ``images`` are RGB, or grey for networks that take one channel, uint8 or
        floating in [0, 255], (B, channels, H, W).
        """
        images = images.float()
        if self.flips:
            images = images.flip(1)
        images = (images - self.mean) / self.std
        features = self.network.extract_feat(images)
        return head_logits(self.network.head, features)


def head_logits(head: Any, features: Any) -> Tensor:
    """Logits of a head, float32 (B, C), as its predictions take them.

    A UserError says that the head gives something else.
    """
    scores = head(features)
    if not torch.is_tensor(scores) or scores.dim() != 2:
        raise UserError(
            f'{type(head).__name__} does not give one score per class; a model '
            'in use needs a head such as LinearClsHead'
        )
    # NormedLinearClsHead gives cosines.
    return (scores * getattr(head, 'scale', 1.0)).float()


def load_weights(model: Any, weights: Dict[str, Tensor]) -> None:
    """Load a network's weights, all of them but those of the loss.

    A UserError names what does not fit.
    """
    kept = {name: weights[name] for name in filter(is_used, weights)}
    try:
        found = model.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        # A title, then a line for each mismatch of shapes.
        raise UserError(str(error).splitlines()[-1].strip()) from error
    for key in filter(is_used, found.missing_keys):
        raise UserError(f'there is no {key}')
    for key in found.unexpected_keys:
        raise UserError(f'there is {key}')


def build_model(
    cfg: Config, checkpoint: str, trust: bool = False
) -> Tuple[Any, Dict[str, Any]]:
    """Build a config's model with the weights of a checkpoint.

    With ``EMAHook`` these are the averaged ones: it swaps them before a
    checkpoint is written. ``checkpoint`` is a file or an address, which
    ``trust`` reads even if it could run code. Gives the classifier on the CPU,
    in evaluation mode, and the checkpoint's ``meta``. A UserError says that the
    weights do not fit the config.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'), settings_errors():
        cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        model = MODELS.build(cfg.model)
        loaded = read_checkpoint(checkpoint, trust)
    weights = {
        name.removeprefix('module.'): value
        for name, value in loaded.get('state_dict', loaded).items()
    }
    try:
        load_weights(model, weights)
    except UserError as error:
        raise UserError(
            f'{checkpoint} was trained with another config: {error}'
        ) from error
    return model.eval(), loaded.get('meta') or {}


@cache
def _keep_freed_memory() -> None:
    """Once a process: take memory from the system once, where glibc can.

    To take it again for each layer doubles the time of some networks.
    """
    if sys.platform == 'linux':
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def ready_for_cpu(images: Tensor) -> Tensor:
    """The same images in the order in which a CPU convolves them fastest.

    Their process keeps the memory that it frees, too.
    """
    if images.device.type != 'cpu' or images.dim() != 4:
        return images
    _keep_freed_memory()
    return images.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def run_dataset(
    model: Any, loader_cfg: dict, what: str, output: Callable[[Tensor], Tensor]
) -> Tuple[Tensor, Tensor, Any]:
    """Run a model over a dataset, as it is tested.

    Args:
        model (Any): The classifier.
        loader_cfg (dict): Config of a dataloader with the test pipeline.
        what (str): Which images these are, for the progress bar.
        output (Callable[[Tensor], Tensor]): What to keep of a batch of inputs,
            normalised, (B, ...).

    Returns:
        Tuple[Tensor, Tensor, Any]: The outputs, float32 (n, ...), labels, (n,),
        and the dataset.
    """
    loader_cfg = {
        **loader_cfg,
        'sampler': dict(type='DefaultSampler', shuffle=False),
        'drop_last': False,
    }
    loader_cfg.setdefault('collate_fn', dict(type='default_collate'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader_cfg, seed=0)
    kept: List[Tensor] = []
    labels: List[int] = []
    with tracked(loader, what) as batches:
        for batch in batches:
            data = model.data_preprocessor(batch, training=False)
            kept.append(output(ready_for_cpu(data['inputs'])).float().cpu())
            labels += [int(sample.gt_label) for sample in data['data_samples']]
    return torch.cat(kept), torch.tensor(labels), loader.dataset


def innermost(dataset: Any) -> Any:
    """Config, not a copy, of the dataset inside all wrappers."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    return dataset


def unaugmented_loader(cfg: Config, field: str) -> Any:
    """Copy of a dataloader whose images come as they are tested.

    ``field`` says which of the config's it is.
    """
    loader = copy.deepcopy(cfg[field])
    loader.batch_size = cfg.test_dataloader.batch_size
    test = innermost(cfg.test_dataloader.dataset)
    innermost(loader.dataset).pipeline = test.pipeline
    return loader


def dataset_logits(
    model: Any, loader_cfg: dict, what: str
) -> Tuple[np.ndarray, np.ndarray, Any]:
    """Logits (n, C) and labels (n,) of a dataset, and the dataset.

    See :func:`run_dataset`.
    """

    def output(inputs: Tensor) -> Tensor:
        return head_logits(model.head, model.extract_feat(inputs))

    logits, labels, dataset = run_dataset(model, loader_cfg, what, output)
    return logits.numpy(), labels.numpy(), dataset
