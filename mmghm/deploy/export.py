"""Models as files of other runtimes: ONNX and torch.export."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

from .load import DeployedModel, load_deployed

FORMATS = {'onnx': '.onnx', 'torch': '.pt2'}
# Largest difference of float32 probabilities and logits that is no error.
TOLERANCE = 1e-3


class Parity(NamedTuple):
    """How an exported model agrees with PyTorch.

    Args:
        images (int): On how many.
        difference (float): Largest absolute difference of the logits.
        equal_top1 (float): Share of images with the same first class.
    """

    images: int
    difference: float
    equal_top1: float


def export(
    model: DeployedModel,
    out: Path,
    format: str,
    batches: Iterator[Tensor],
) -> Parity:
    """Export a model, and compare it with what it was made from.

    The graph takes ``images``, float32 (B, channels, H, W), RGB in [0, 255],
    with any B, and gives ``logits`` (B, C); normalisation is inside it. What
    is done to an image before (loading, resizing, cropping) is described in
    the metadata, as are class names, temperature and prior.

    Args:
        model (DeployedModel): A model with a network.
        out (Path): The file.
        format (str): One of :data:`FORMATS`.
        batches (Iterator[Tensor]): Real images as the network takes them,
            uint8 (B, channels, H, W), at least one batch.

    Returns:
        Parity: The agreement; the file is there.

    Raises:
        UserError: If the file exists, the model cannot be exported, or its
            logits differ by more than :data:`TOLERANCE`; then no file is
            left.
    """
    network = model.network
    if network is None:
        raise UserError(f'{model.name} is an exported model already')
    if out.exists():
        raise UserError(f'{out} exists; choose another --out or delete it')
    first = next(batches, None)
    if first is None:
        raise UserError('export needs an image to compare on')
    # Two images: a dimension of 1 would be taken for a constant.
    example = torch.cat([first, first])[:2].float()
    metadata = json.dumps(
        dict(
            classes=model.classes,
            calibration=model.calibration.__dict__,
            steps=model.steps,
            input='float32 (B, channels, H, W), RGB in [0, 255]',
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.') as folder:
        made = Path(folder) / f'model{FORMATS[format]}'
        write = _write_onnx if format == 'onnx' else _write_torch
        with warnings.catch_warnings():
            # Of the exporter, about its own code.
            warnings.simplefilter('ignore')
            write(network, example, made, metadata)
        runs = _runner(made, format)
        differences, same, total = [0.0], 0, 0
        batch: Optional[Tensor] = first
        while batch is not None:
            expected, found = model.logits(batch), runs(batch)
            differences.append(float(np.abs(expected - found).max()))
            same += int((expected.argmax(1) == found.argmax(1)).sum())
            total += len(batch)
            batch = next(batches, None)
        parity = Parity(total, max(differences), same / total)
        if not parity.difference <= TOLERANCE:
            raise UserError(
                f'the exported model differs from PyTorch by '
                f'{parity.difference:.2g} in a logit, more than {TOLERANCE}; '
                'nothing was written'
            )
        made.replace(out)
    return parity


def _write_onnx(
    network: Any, example: Tensor, path: Path, metadata: str
) -> None:
    # torch needs onnxscript, and the file is tried with onnxruntime.
    onnx, _, _ = map(import_optional, ('onnx', 'onnxruntime', 'onnxscript'))
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=['images'],
        output_names=['logits'],
        dynamic_shapes=({0: torch.export.Dim('batch')},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    made = onnx.load(str(path))
    onnx.helper.set_model_props(made, {'mmghm': metadata})
    onnx.save(made, str(path))


def _write_torch(
    network: Any, example: Tensor, path: Path, metadata: str
) -> None:
    program = torch.export.export(
        network,
        (example,),
        dynamic_shapes=({0: torch.export.Dim('batch')},),
    )
    torch.export.save(program, str(path), extra_files={'mmghm': metadata})


def _runner(path: Path, format: str) -> Any:
    if format == 'onnx':
        return load_deployed(str(path)).logits
    program = torch.export.load(str(path)).module()

    def logits(images: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return program(images.float()).numpy()

    return logits
