"""Where the time goes with large images: decoding, augmenting, the model."""

import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torchvision.io import ImageReadMode, decode_jpeg, read_file, write_jpeg
from torchvision.transforms import v2

from study.benchmarks.harness import Row, progress, summarise

# About the mean of ImageNet's train set.
HEIGHT, WIDTH = 400, 500
STOCK = 'stock pipeline (OpenCV)'


def generate(folder: Path, number: int) -> List[str]:
    """Write JPEGs with the detail of photographs: noise of all scales."""
    generator = torch.Generator().manual_seed(0)
    paths = []
    for index in range(number):
        image = torch.zeros(1, 3, HEIGHT, WIDTH)
        for scale in (4, 16, 64, 256):
            noise = torch.randn(1, 3, scale, scale, generator=generator)
            image += (
                torch.nn.functional.interpolate(
                    noise, (HEIGHT, WIDTH), mode='bilinear'
                )
                / scale**0.5
            )
        image = (128 + 60 * image[0]).clamp(0, 255).to(torch.uint8)
        paths.append(str(folder / f'{index}.jpg'))
        write_jpeg(image, paths[-1], quality=90)
    return paths


def pipelines() -> Dict[str, Callable[[str], Any]]:
    augment = [
        dict(type='RandomResizedCrop', scale=224),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='PackInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        stock = Compose([dict(type='LoadImageFromFile'), *augment])
        checked = Compose([dict(type='LoadCheckedImage'), *augment])
    crop = v2.Compose(
        [
            v2.RandomResizedCrop(224, antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    return {
        STOCK: lambda path: stock(dict(img_path=path, gt_label=0)),
        'LoadCheckedImage in its place': lambda path: checked(
            dict(img_path=path, gt_label=0)
        ),
        "torchvision's decoder and v2": lambda path: crop(
            decode_jpeg(read_file(path), ImageReadMode.RGB)
        ),
    }


def train_resnet50(device: str, batch: int, steps: int) -> float:
    """Seconds an image of a training step on a batch on the device."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet', depth=50),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=1000,
                    in_channels=2048,
                    loss=dict(type='mmghm.GHMCWAPLoss', num_classes=1000),
                ),
            )
        )
    model = model.to(device, memory_format=torch.channels_last).train()
    images = torch.randn(batch, 3, 224, 224, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    target = torch.randint(1000, (batch,), device=device)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            scores = model.head(model.extract_feat(images))
            loss = model.head.loss_module(scores, target)
        model.zero_grad()
        loss.backward()

    step()
    if device == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if device == 'cuda':
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps / batch


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    torch.set_num_threads(torch.get_num_threads() if quick else 2)
    with tempfile.TemporaryDirectory() as folder:
        paths = generate(Path(folder), 4 if quick else 100)
        samples: Dict[str, List[float]] = {}
        for _ in progress(range(1 if quick else 5), 'large images'):
            threads = torch.get_num_threads()
            # One worker, as a dataloader's.
            torch.set_num_threads(1)
            for name, load in pipelines().items():
                start = time.perf_counter()
                for path in paths:
                    load(path)
                seconds = (time.perf_counter() - start) / len(paths)
                samples.setdefault(name, []).append(seconds)
            torch.set_num_threads(threads)
            batch, steps = (256, 20) if device == 'cuda' else (8, 1)
            samples.setdefault(
                f'ResNet-50 step, bfloat16, {device}', []
            ).append(train_resnet50(device, batch, steps))
    return dict(
        large_images=summarise(
            f'{WIDTH} x {HEIGHT} JPEG',
            {name: np.asarray(values) for name, values in samples.items()},
            STOCK,
            'images/s',
            1,
            inverse=True,
        )
    )
