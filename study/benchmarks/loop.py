"""Training through MMEngine's Runner: images a second."""

import os
import tempfile
import time
from typing import Any, Dict, List, Tuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import MODELS

from mmghm.engine.configs import compose
from study.benchmarks.harness import Row, progress, summarise

STOCK = 'stock loader, float32, channels first'
BARE = 'the model alone'
TASK = 'resnet32_cifar10_lt'


@DATASETS.register_module()
class GeneratedImages(BaseDataset):
    """Random 32 x 32 images in memory, as many as CIFAR-10 has."""

    def __init__(self, per_class: int, **kwargs: Any) -> None:
        self.per_class = per_class
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """Draw the images."""
        number = 10 * self.per_class
        images = np.random.default_rng(0).integers(
            256, size=(number, 32, 32, 3), dtype=np.uint8
        )
        self._metainfo['classes'] = tuple('0123456789')
        return [
            dict(img=image, gt_label=index % 10)
            for index, image in enumerate(images)
        ]


@HOOKS.register_module()
class StopwatchHook(Hook):
    """Record the iterations' durations and that of the epoch's end."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.moments: List[float] = []

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Note when it is over."""
        self.moments.append(time.perf_counter())

    def after_train_epoch(self, runner: Any) -> None:
        """Note when the other hooks are done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.moments.append(time.perf_counter())


def config(
    method: str,
    decoded: bool,
    half: bool,
    steps: int,
    device: str,
    batch_size: int = 128,
    imbalance_factor: int = 1,
) -> Config:
    cfg = compose(method, TASK + '_decoded' * decoded, imbalance_factor)
    images = ConfigDict(type='GeneratedImages', per_class=5000)
    tail = cfg.train_dataloader.dataset
    if decoded:
        tail.dataset.dataset = images
    else:
        tail.dataset = ConfigDict(images, pipeline=tail.dataset.pipeline)
        cfg.train_dataloader.collate_fn = dict(type='default_collate')
        cfg.train_dataloader.pin_memory = device == 'cuda'
        if device == 'cuda':
            cfg.train_dataloader.num_workers = min(os.cpu_count() or 1, 12)
    cfg.model.backbone.channels_last = decoded or half
    if half:
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.train_dataloader.batch_size = batch_size
    cfg.train_dataloader.num_batch_per_epoch = steps
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=2)
    for key in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{key}_{part}'] = None
    # What every run does alike and no epoch needs: files and figures.
    keep = ('EpochSeedHook', 'AURARebinHook')
    cfg.custom_hooks = [h for h in cfg.custom_hooks if h.type in keep]
    cfg.custom_hooks += [dict(type='StopwatchHook')]
    cfg.default_hooks.checkpoint.update(interval=2, save_last=False)
    cfg.visualizer = dict(type='Visualizer')
    cfg.work_dir = tempfile.mkdtemp()
    cfg.log_level = 'ERROR'
    return cfg


def run(cfg: Config) -> Tuple[np.ndarray, float]:
    """Train an epoch: seconds of each iteration, and of the epoch's end."""
    MessageHub._instance_dict.clear()
    cfg.experiment_name = f'benchmark_{time.monotonic_ns()}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    (hook,) = (h for h in runner.hooks if isinstance(h, StopwatchHook))
    durations = np.diff(hook.moments)
    return durations[:-1], float(durations[-1])


def run_bare(half: bool, steps: int, device: str, batch: int) -> np.ndarray:
    """Train on one batch that lies on the device, without a Runner."""
    cfg = config('softmax', True, half, steps, device, batch)
    model = MODELS.build(ConfigDict(cfg.model, data_preprocessor=None))
    model = model.to(device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-4
    )
    images = torch.randn(batch, 3, 32, 32, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    target = torch.randint(10, (batch,), device=device)
    moments = []
    for _ in range(steps):
        with torch.autocast(device, torch.bfloat16, enabled=half):
            scores = model.head(model.extract_feat(images))
        loss = torch.nn.functional.cross_entropy(scores.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        moments.append(time.perf_counter())
    if device == 'cuda':
        # Launches return before the work is done: one figure for all.
        torch.cuda.synchronize()
        mean = (time.perf_counter() - moments[0]) / (steps - 1)
        return np.full(steps - 1, mean)
    return np.diff(moments)


def images_per_second(device: str, quick: bool) -> List[Row]:
    steps = 6 if quick else 380 if device == 'cuda' else 30
    rounds = 1 if quick else 3
    batch = 16 if quick else 128
    variants = {
        STOCK: (False, False),
        'stock loader, bfloat16, channels last': (False, True),
        'decoded batches, float32, channels last': (True, False),
        'decoded batches, bfloat16, channels last': (True, True),
    }
    samples: Dict[str, List[float]] = {}
    for _ in progress(range(rounds), 'images per second'):
        for name, (decoded, half) in variants.items():
            cfg = config('ghm_cwap', decoded, half, steps, device, batch)
            durations, _ = run(cfg)
            # Workers' head start and cuDNN's choices are over by then.
            settled = durations[len(durations) // 5 :]
            samples.setdefault(name, []).append(float(np.mean(settled)))
        bare = run_bare(True, steps, device, batch)
        samples.setdefault(f'{BARE}, bfloat16', []).append(
            float(np.mean(bare[len(bare) // 5 :]))
        )
    return summarise(
        f'batch {batch}',
        {name: np.asarray(values) for name, values in samples.items()},
        STOCK,
        'images/s',
        batch,
        inverse=True,
    )


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    return dict(loop=images_per_second(device, quick))
