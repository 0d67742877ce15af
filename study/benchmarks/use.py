"""Predicting many images, beside the bare model and the bare decoder.

Each subject handles the same images: `predict` from files to a file; the model
alone on images in memory; the decoder alone, in as many processes. The longer
of the two is the bound that predict is held against.
"""

import tempfile
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import psutil
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torchvision.io import write_png

from mmghm.deploy.calibration import Calibration
from mmghm.deploy.images import (
    ImageReader,
    default_workers,
    find_images,
    read_images,
)
from mmghm.deploy.load import DeployedModel
from mmghm.deploy.network import Classifier
from mmghm.deploy.predict import predict
from mmghm.deploy.prediction_writer import PredictionWriter
from study.benchmarks.harness import Row, progress, summarise
from study.benchmarks.large_images import generate

BOUND = 'the longer of model and decoder'


def small_images(folder: Path, number: int) -> None:
    """Write PNG files of CIFAR's size."""
    generator = torch.Generator().manual_seed(0)
    for index in range(number):
        coarse = torch.rand(1, 3, 8, 8, generator=generator)
        image = torch.nn.functional.interpolate(
            coarse, (32, 32), mode='bicubic'
        )
        pixels = (255 * image[0].clamp(0, 1)).to(torch.uint8)
        write_png(pixels, str(folder / f'{index:05}.png'))


def deployed(backbone: dict, channels: int, steps: List[dict]) -> DeployedModel:
    """A model with weights by chance: they do not matter to its speed."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=backbone,
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', in_channels=channels, num_classes=10
                ),
                data_preprocessor=dict(
                    mean=[128.0] * 3, std=[64.0] * 3, to_rgb=True
                ),
            )
        )
    network = Classifier(model, takes_bgr=True)

    @torch.inference_mode()
    def logits(images: torch.Tensor) -> np.ndarray:
        return network(images).numpy()

    calibration = Calibration(1.0, [1] * 10, [0.1] * 10, 'stated')
    names = [str(i) for i in range(10)]
    return DeployedModel(
        logits, steps, names, calibration, 'benchmark', network
    )


def measure(
    model: DeployedModel, folder: Path, batch_size: int, workers: int
) -> Dict[str, float]:
    """Seconds of each subject, once."""
    reader = ImageReader(model.steps)

    def images():  # type: ignore[no-untyped-def]
        return find_images([str(folder)])

    seconds = {}
    start = time.perf_counter()
    # Decoded images by batch, for the model alone; not kept beyond a batch.
    kept = []
    for batch in read_images(images(), reader, batch_size, workers):
        kept.append(next(iter(batch.images.values())))
    seconds['decoder'] = time.perf_counter() - start
    start = time.perf_counter()
    for pixels in kept:
        model.logits(pixels)
    seconds['model'] = time.perf_counter() - start
    del kept
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        path = Path(out) / 'predictions.csv'
        journal = PredictionWriter(path, {})
        predict(
            *(model, images, journal, None, 3, {}, batch_size, workers),
            lambda number: None,
        )
        journal.finish(journal.rows(), dict.fromkeys(_columns(journal), str))
        seconds['predict'] = time.perf_counter() - start
    seconds[BOUND] = max(seconds['decoder'], seconds['model'])
    return seconds


def _columns(journal: PredictionWriter) -> List[str]:
    return list(next(journal.rows()))


def peak_memory(model: DeployedModel, folder: Path, number: int) -> float:
    """MiB that predicting a number of images adds to the process at most."""
    process = psutil.Process()
    before, most = process.memory_info().rss, 0
    with tempfile.TemporaryDirectory() as out:
        journal = PredictionWriter(Path(out) / 'predictions.csv', {})

        def note(done: int) -> None:
            nonlocal most
            most = max(most, process.memory_info().rss)

        def images():  # type: ignore[no-untyped-def]
            found = list(find_images([str(folder)]))
            return (found[i % len(found)] for i in range(number))

        predict(*(model, images, journal, None, 3, {}, 64, 0), note)
    return max(most - before, 0) / 2**20


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    rounds, small, large = (1, 200, 4) if quick else (3, 10_000, 500)
    resnet32 = deployed(dict(type='CIFARResNet', depth=32), 64, [])
    resnet50 = deployed(
        dict(type='ResNet', depth=50),
        2048,
        [
            dict(type='ResizeEdge', scale=256, edge='short'),
            dict(type='CenterCrop', crop_size=224),
        ],
    )
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folders = Path(name) / 'small', Path(name) / 'large'
        for folder in folders:
            folder.mkdir()
        small_images(folders[0], small)
        generate(folders[1], large)
        cases = {
            f'{small:,} images of 32 x 32, ResNet-32': (resnet32, 0, 128),
            f'{large} images of 400 x 500, ResNet-50': (resnet50, 1, 16),
        }
        for case, (model, place, batch) in cases.items():
            samples: Dict[str, List[float]] = {}
            for _ in progress(range(rounds), case):
                found = measure(
                    model, folders[place], batch, default_workers('cpu')
                )
                for subject, seconds in found.items():
                    samples.setdefault(subject, []).append(seconds)
            rows += summarise(
                case,
                {k: np.asarray(v) for k, v in samples.items()},
                baseline=BOUND,
                unit='s',
                scale=1,
            )
        for number in (small // 10, small):
            mib = peak_memory(resnet32, folders[0], number)
            rows.append(
                Row(
                    f'{number:,} images',
                    'memory added',
                    'MiB',
                    mib,
                    mib,
                    mib,
                    1,
                )
            )
    return dict(use=rows)
