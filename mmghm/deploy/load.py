"""Models in use: published folders, ONNX files, configs with a checkpoint."""

import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import Tensor

from mmghm.engine.configs import load_config
from mmghm.engine.hooks.run_record_hook import IMAGES_KEY
from mmghm.engine.safe_loading import read_safetensors
from mmghm.evaluation.groups import group_names
from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

from .allowed import (
    check_calibration,
    check_classes,
    check_settings,
    check_steps,
    read_json,
)
from .calibration import GROUP_RULE, Calibration, calibrate
from .images import generated_images
from .network import Classifier, build_model, load_weights, ready_for_cpu
from .publish import (
    CALIBRATION,
    CLASSES,
    CONFIG,
    WEIGHTS,
    check_sums,
    inference_config,
    loads_files,
)
from .shapes import check_shapes, file_shapes

# In a checkpoint's meta: the method that its classifier was fitted with after
# training.
POSTHOC = 'posthoc_classifier'


@dataclass
class DeployedModel:
    """A model that is ready to predict.

    Attributes:
        logits (Callable[[Tensor], np.ndarray]): Takes RGB or grey images,
            uint8 (B, channels, H, W); gives float32 (B, C).
        steps (List[dict]): What is done to a loaded image before, as configs
            of mmcv's and mmpretrain's transforms.
        classes (List[str]): Names of the C classes.
        calibration (Calibration): Temperature, prior, thresholds.
        name (str): Where it came from.
        network (Optional[Classifier]): None for ONNX.
    """

    logits: Callable[[Tensor], np.ndarray]
    steps: List[dict]
    classes: List[str]
    calibration: Calibration
    name: str
    network: Optional[Classifier] = None

    @cached_property
    def groups(self) -> List[str]:
        """Group of each class by its train images."""
        counts = self.calibration.class_counts
        return group_names(np.array(counts), GROUP_RULE)


def load_deployed(
    path: str,
    checkpoint: Optional[str] = None,
    trust_checkpoint: bool = False,
    device: str = 'cpu',
    bfloat16: bool = False,
) -> DeployedModel:
    """Load a model, whatever form it has.

    Args:
        path (str): A published folder, an exported ``.onnx`` file, or the
            config of a training.
        checkpoint (Optional[str]): The checkpoint, if ``path`` is a config.
        trust_checkpoint (bool): Read the checkpoint even if it could run code.
        device (str): Where to compute; an ONNX file runs on the CPU.
        bfloat16 (bool): Whether to compute in bfloat16.

    Returns:
        DeployedModel: The model.

    Raises:
        UserError: If it cannot be read.
    """
    if path.endswith('.onnx'):
        return _load_onnx(path)
    if checkpoint is not None:
        cfg = load_config(path)
        training = read_training(cfg, checkpoint, trust_checkpoint)
        return DeployedModel(
            _logits_of(training.network, device, bfloat16),
            pipeline_steps(inference_config(cfg, training.model)),
            training.classes,
            calibrate(training.loss, training.class_counts, None),
            f'{path} with {checkpoint}',
            training.network,
        )
    if not Path(path).is_dir():
        raise UserError(
            f'{path} is neither a published folder nor an .onnx file; a config '
            'needs --checkpoint FILE'
        )
    return _load_folder(path, device, bfloat16)


def _logits_of(
    network: Classifier, device: str, bfloat16: bool
) -> Callable[[Tensor], np.ndarray]:
    network.to(device)
    kind = torch.device(device).type

    @torch.inference_mode()
    def logits(images: Tensor) -> np.ndarray:
        with torch.autocast(kind, torch.bfloat16, enabled=bfloat16):
            scores = network(ready_for_cpu(images.to(device)))
        return scores.float().cpu().numpy()

    return logits


@contextmanager
def _strangers(path: Any, fault: str) -> Iterator[None]:
    """Say in a line what is wrong with a model that may be anybody's."""
    try:
        yield
    except OSError:
        raise
    # Networks and runtimes raise anything for what they cannot be.
    except Exception as error:
        reason = ' '.join(str(error).split())[:300] or type(error).__name__
        raise UserError(f'{path} {fault}: {reason}') from error


def _predict_one(model: DeployedModel) -> None:
    """Make sure that a model gives a score per class, for an image."""
    (images,) = generated_images(model.steps, 1)
    scores = model.logits(images)
    if scores.shape != (1, len(model.classes)) or not np.isfinite(scores).all():
        raise UserError(
            f'it does not give {len(model.classes)} finite scores for an image'
        )


def pipeline_steps(settings: Any) -> List[dict]:
    """Configs of an inference config's transforms, without packing."""
    pipeline = settings['test_dataloader']['dataset']['pipeline']
    return [dict(step) for step in pipeline if step['type'] != 'PackInputs']


def _load_folder(path: str, device: str, bfloat16: bool) -> DeployedModel:
    folder = Path(path)
    if (folder / 'config.py').exists() and not (folder / CONFIG).exists():
        raise UserError(
            f'{folder} was published by mmghm 0.2, whose config is Python; '
            'publish the model again'
        )
    settings = read_json(folder / CONFIG)
    rows = read_json(folder / CLASSES)
    kept = read_json(folder / CALIBRATION)
    with (
        _strangers(folder, 'is damaged or not safe'),
        DefaultScope.overwrite_default_scope('mmpretrain'),
    ):
        check_sums(folder)
        classes = check_classes(rows)
        calibration = check_calibration(kept, len(classes))
        check_settings(settings, len(classes))
        settings['model']['head'].pop('loss', None)

        def build() -> Any:
            return MODELS.build(ConfigDict(settings['model']))

        check_shapes(build, file_shapes(folder / WEIGHTS))
        model = build()
        load_weights(model, read_safetensors(folder / WEIGHTS))
        network = Classifier(model, takes_bgr=True)
    deployed = DeployedModel(
        _logits_of(network, device, bfloat16),
        pipeline_steps(settings),
        classes,
        calibration,
        path,
        network,
    )
    with _strangers(folder, 'is damaged or not safe'):
        _predict_one(deployed)
    return deployed


def read_calibration(path: str, num_classes: int) -> Calibration:
    """Read a ``calibration.json``.

    A UserError says that it is damaged or of a model with other than C classes.
    """
    try:
        return check_calibration(read_json(Path(path)), num_classes)
    except UserError as error:
        raise UserError(f'{path} is no calibration of it: {error}') from error


@dataclass
class Training:
    """What a training leaves.

    Attributes:
        model (Any): The classifier.
        network (Classifier): The same, from images to logits.
        classes (List[str]): Names of the C classes.
        class_counts (np.ndarray): Train images per class, (C,).
        loss (Any): The loss module that it was trained with; None if its
            classifier was fitted again after training.
        images (Optional[Dict[str, List[str]]]): Digests of its image lists;
            None if its training did not record them.
    """

    model: Any
    network: Classifier
    classes: List[str]
    class_counts: np.ndarray
    loss: Any
    images: Optional[Dict[str, List[str]]]


def read_training(cfg: Config, checkpoint: str, trust: bool) -> Training:
    """Build the model of a training, and read what was saved with it.

    ``trust`` reads a checkpoint even if it could run code. A UserError says that
    it does not tell how many train images each class had.
    """
    model, meta = build_model(cfg, checkpoint, trust)
    told = meta.get('dataset_meta') or {}
    counts = meta.get('class_counts', told.get('class_counts'))
    if counts is None:
        raise UserError(
            f'{checkpoint} does not say how many train images each class had: '
            "train with dict(type='ClassCountsHook') in custom_hooks"
        )
    names: Any = told.get('classes') or range(len(counts))
    loss = None if POSTHOC in meta else model.head.loss_module
    return Training(
        model,
        Classifier(model, takes_bgr=loads_files(cfg)),
        [str(n) for n in names],
        np.asarray(counts),
        loss,
        meta.get(IMAGES_KEY),
    )


def _load_onnx(path: str) -> DeployedModel:
    onnxruntime = import_optional('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with (
        _strangers(path, 'is no model of `export`'),
        DefaultScope.overwrite_default_scope('mmpretrain'),
    ):
        session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )
        settings = json.loads(
            session.get_modelmeta().custom_metadata_map['mmghm']
        )
        classes = check_classes([dict(name=n) for n in settings['classes']])
        calibration = check_calibration(settings['calibration'], len(classes))
        check_steps(settings['steps'])

        def logits(images: Tensor) -> np.ndarray:
            return session.run(None, {'images': images.float().numpy()})[0]

        model = DeployedModel(
            logits, settings['steps'], classes, calibration, path
        )
        _predict_one(model)
    return model
