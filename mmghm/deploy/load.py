"""Models in use: published folders, ONNX files, configs with a checkpoint."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch import Tensor

from mmghm.engine.configs import load_config
from mmghm.engine.safe_loading import read_safetensors
from mmghm.evaluation.groups import group_names
from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError, settings_errors

from .allowed import (
    check_calibration,
    check_classes,
    check_settings,
    check_steps,
    read_json,
)
from .calibration import GROUP_RULE, Calibration, calibrate
from .network import Classifier, build_model, load_weights
from .publish import (
    CALIBRATION,
    CLASSES,
    CONFIG,
    WEIGHTS,
    check_sums,
    inference_config,
    loads_files,
)

# In a checkpoint's meta: how its classifier was made anew after training.
REMADE = 'remade_classifier'


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

    @property
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
    if Path(path).is_dir():
        network, settings, classes, calibration = _load_folder(Path(path))
    elif checkpoint is None:
        raise UserError(
            f'{path} is neither a published folder nor an .onnx file; a config '
            'needs --checkpoint FILE'
        )
    else:
        cfg = load_config(path)
        training = read_training(cfg, checkpoint, trust_checkpoint)
        settings, classes = (
            inference_config(cfg, training.model),
            training.classes,
        )
        network = Classifier(training.model, takes_bgr=loads_files(cfg))
        calibration = calibrate(training.loss, training.class_counts, None)
        path = f'{path} with {checkpoint}'
    network.to(device)
    kind = torch.device(device).type

    @torch.inference_mode()
    def logits(images: Tensor) -> np.ndarray:
        with torch.autocast(kind, torch.bfloat16, enabled=bfloat16):
            return network(images.to(device)).float().cpu().numpy()

    return DeployedModel(
        logits, pipeline_steps(settings), classes, calibration, path, network
    )


def pipeline_steps(settings: Any) -> List[dict]:
    """Transforms of an inference config, without packing.

    Args:
        settings (Any): The config.

    Returns:
        List[dict]: Their configs.
    """
    pipeline = settings['test_dataloader']['dataset']['pipeline']
    return [dict(step) for step in pipeline if step['type'] != 'PackInputs']


def _load_folder(
    folder: Path,
) -> Tuple[Classifier, Any, List[str], Calibration]:
    if (folder / 'config.py').exists() and not (folder / CONFIG).exists():
        raise UserError(
            f'{folder} was published by mmghm 0.2, whose config is Python; '
            'publish the model again'
        )
    settings = read_json(folder / CONFIG)
    rows = read_json(folder / CLASSES)
    kept = read_json(folder / CALIBRATION)
    try:
        check_sums(folder)
        classes = check_classes(rows)
        calibration = check_calibration(kept, len(classes))
        check_settings(settings, len(classes))
    except UserError as error:
        raise UserError(f'{folder} is damaged or not safe: {error}') from error
    settings['model']['head'].pop('loss', None)
    with DefaultScope.overwrite_default_scope('mmpretrain'), settings_errors():
        model = MODELS.build(ConfigDict(settings['model']))
    wrong = load_weights(model, read_safetensors(folder / WEIGHTS))
    if wrong:
        raise UserError(f'{folder / WEIGHTS} does not fit {CONFIG}: {wrong}')
    return Classifier(model, takes_bgr=True), settings, classes, calibration


def read_calibration(path: str, num_classes: int) -> Calibration:
    """Read a ``calibration.json``.

    Args:
        path (str): The file.
        num_classes (int): C, the number of classes.

    Returns:
        Calibration: What it holds.

    Raises:
        UserError: If it is damaged or of a model with other classes.
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
        classes (List[str]): Names of the C classes.
        class_counts (np.ndarray): Train images per class, (C,).
        loss (Any): The loss module that it was trained with; None if its
            classifier was made anew after training.
    """

    model: Any
    classes: List[str]
    class_counts: np.ndarray
    loss: Any


def read_training(cfg: Config, checkpoint: str, trust: bool) -> Training:
    """Build the model of a training, and read what was saved with it.

    Args:
        cfg (Config): Its config.
        checkpoint (str): Its checkpoint.
        trust (bool): Read it even if it could run code.

    Returns:
        Training: The model and its classes.

    Raises:
        UserError: If the checkpoint does not say how many train images each
            class had.
    """
    model, meta = build_model(cfg, checkpoint, trust)
    told = meta.get('dataset_meta') or {}
    counts = meta.get('class_counts', told.get('class_counts'))
    if counts is None:
        raise UserError(
            f'{checkpoint} does not say how many train images each class had: '
            "train with dict(type='ClassCountsHook') in custom_hooks"
        )
    names: Sequence[Any] = told.get('classes') or range(len(counts))
    loss = None if REMADE in meta else model.head.loss_module
    return Training(model, [str(n) for n in names], np.asarray(counts), loss)


def _load_onnx(path: str) -> DeployedModel:
    onnxruntime = import_optional('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )
        meta: Dict[str, str] = session.get_modelmeta().custom_metadata_map
        settings = json.loads(meta['mmghm'])
        classes = check_classes([dict(name=n) for n in settings['classes']])
        calibration = check_calibration(settings['calibration'], len(classes))
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            check_steps(settings['steps'])
        (scores,) = session.get_outputs()
        if scores.shape[1] != len(classes):
            raise UserError(
                f'it has {len(classes)} classes and {scores.shape[1]} scores'
            )
    except Exception as error:
        # ONNX Runtime has error classes of its own.
        raise UserError(
            f'{path} is no model of `export`: {error or type(error).__name__}'
        ) from error

    def logits(images: Tensor) -> np.ndarray:
        return session.run(None, {'images': images.float().numpy()})[0]

    return DeployedModel(
        logits,
        settings['steps'],
        classes,
        calibration,
        path,
    )
