"""Models as files of other runtimes: ONNX and torch.export."""

import inspect
import io
import json
import tempfile
import warnings
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

from .images import generated_images, is_loader, loading_settings
from .load import DeployedModel, load_deployed
from .read_back import TOLERANCE

FORMATS = {'onnx': '.onnx', 'torch': '.pt2'}


class Parity(NamedTuple):
    """How an exported model agrees with PyTorch.

    On how many images, the largest absolute difference of the logits, and the
    share of images with the same first class.
    """

    images: int
    difference: float
    equal_top1: float


def preparation(model: DeployedModel) -> Dict[str, Any]:
    """Describe what is done to an image file, with nothing left to defaults.

    ``preparation`` is a list of transforms of MMPretrain with all their
    arguments, the first one that which loads, and for each that resizes whether
    it antialiases. ``input`` is what the graph takes: channels, range, and the
    mean and standard deviation that it normalises by itself.
    """
    load = dict(
        type='LoadImageFromFile',
        color_type='color',
        imdecode_backend='cv2',
        value_range=None,
        turned_by_exif=True,
    )
    load.update(loading_settings(model.steps))
    steps = [_in_full(step) for step in model.steps if not is_loader(step)]
    network: Any = model.network
    example = next(generated_images(model.steps, 1))
    return dict(
        preparation=[load, *steps],
        input=dict(
            name='images',
            dtype='float32',
            shape=['batch', *example.shape[1:]],
            channels='RGB' if example.shape[1] == 3 else 'grey',
            range=[0, 255],
            mean=network.mean.flatten().tolist(),
            std=network.std.flatten().tolist(),
            normalized_by='the graph',
        ),
    )


def _in_full(step: Dict[str, Any]) -> Dict[str, Any]:
    """A transform's config with the values of all its arguments."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        kind = TRANSFORMS.get(step['type'])
    given = {name: value for name, value in step.items() if name != 'type'}
    bound = inspect.signature(kind).bind(**given)
    bound.apply_defaults()
    full = dict(type=step['type'], **bound.arguments)
    if 'interpolation' in full:
        # Pillow widens its filters where an image shrinks, OpenCV has one
        # method that does.
        wide = (
            full['backend'] == 'pillow' and full['interpolation'] != 'nearest'
        )
        full['antialias'] = wide or full['interpolation'] == 'area'
    return full


def export(
    model: DeployedModel, out: Path, format: str, batches: Iterator[Tensor]
) -> Parity:
    """Export a model, and compare it with what it was made from.

    The graph takes ``images``, float32 (B, channels, H, W), RGB in [0, 255],
    with any B, and gives ``logits`` (B, C); normalisation is inside it. What
    is done to an image before is described in the metadata, see
    :func:`preparation`, as are class names, temperature and prior.

    ``format`` is one of :data:`FORMATS`. ``batches`` are real images as the
    network takes them, uint8 (B, channels, H, W). A UserError says that the file
    exists, the model cannot be exported, or its logits differ by more than
    :data:`TOLERANCE`; then no file is left.
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
            **preparation(model),
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
        difference, same, total = 0.0, 0, 0
        for batch in chain([first], batches):
            expected, found = model.logits(batch), runs(batch)
            largest = float(np.abs(expected - found).max())
            difference = max(difference, largest)
            same += int((expected.argmax(1) == found.argmax(1)).sum())
            total += len(batch)
        parity = Parity(total, difference, same / total)
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
        network, (example,), dynamic_shapes=({0: torch.export.Dim('batch')},)
    )
    # A full disk would abort the process inside torch's writer.
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={'mmghm': metadata})
    path.write_bytes(content.getbuffer())


def _runner(path: Path, format: str) -> Any:
    if format == 'onnx':
        return load_deployed(str(path)).logits
    program = torch.export.load(str(path)).module()

    def logits(images: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return program(images.float()).numpy()

    return logits
