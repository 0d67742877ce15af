"""Keep what ``mmghm report`` shows of a run."""

import json
import math
import os
import platform
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from mmghm.datasets.image_lists import image_list_digest
from mmghm.engine.work_dir import (
    PREDICTIONS,
    RECORD,
    RUN_FILE,
    TEST_PREDICTIONS,
)
from mmghm.evaluation import GroupAccuracy
from mmghm.losses import histogram_losses
from mmghm.utils.arrays import write_arrays
from mmghm.utils.dependencies import version_of
from mmghm.utils.validation import check_integer

from .class_counts_hook import CLASS_COUNTS_KEY

# In a checkpoint's meta.
IMAGES_KEY = 'images'


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write ``record/`` in the work dir, a few files that stay small.

    - ``run.json``: class names and train counts, digests of the image lists
      (``images``), versions, device, ranks, when training began.
    - ``histograms_{step}.npz``: of each ``GHMCWAPLoss`` the examples per
      region (C, N), their edges (C, N+1) and the weights of eq. (1) (C, N),
      float32, after an epoch; under an iteration-based loop at validations,
      the step then being the iteration.
    - ``predictions.npz``: label, predicted class and its score for each image
      of the last validation, if a ``GroupAccuracy`` is among the metrics;
      ``test.npz``: the same of the last test of one of the run's checkpoints,
      in the folder of that run.

    Checkpoints keep ``images``, too, of all trainings that they have seen: by
    ``'train'`` and ``'val'`` a list of :func:`image_list_digest`.

    Priority LOW: after ``AURARebinHook`` has published the epoch's
    histograms. Rank 0 alone writes.

    Args:
        max_records (int): At most about so many epochs' histograms are kept,
            evenly spread, the last one among them.

    Raises:
        ValueError: If ``max_records`` is below 1.
    """

    priority = 'LOW'

    def __init__(self, max_records: int = 40) -> None:
        check_integer('max_records', max_records, 1)
        self.max_records = max_records
        self.images: Dict[str, List[str]] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take over what a resumed training has seen before."""
        if runner._resume:
            meta = checkpoint.get('meta') or {}
            self.images = meta.get(IMAGES_KEY, {})

    @master_only
    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Say in the checkpoint which images it has seen."""
        checkpoint.setdefault('meta', {})[IMAGES_KEY] = self.images

    @master_only
    def before_train(self, runner: Any) -> None:
        """Write what is known from the start."""
        self._note_images('train', runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._note_images('val', runner.val_loop.dataloader.dataset)
        meta = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        device = next(runner.model.parameters()).device
        record = dict(
            classes=list(map(str, meta.get('classes') or ())),
            class_counts=runner.message_hub.get_info(CLASS_COUNTS_KEY),
            images=self.images,
            versions={
                name: version_of(name)
                for name in ('torch', 'mmengine', 'mmpretrain', 'numpy')
            },
            python=platform.python_version(),
            device=torch.cuda.get_device_name(device)
            if device.type == 'cuda'
            else f'{platform.machine()}, {os.cpu_count()} cores',
            started=datetime.now().astimezone().strftime('%Y-%m-%d %H:%M %Z'),
            world_size=runner.world_size,
            seed=runner.seed,
        )
        folder = Path(runner.work_dir) / RECORD
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN_FILE).write_text(json.dumps(record, indent=1))

    def _note_images(self, part: str, dataset: Any) -> None:
        try:
            digest = image_list_digest(dataset)
        # Without labels there are no class counts, which says so in the log.
        except TypeError:
            return
        self.images[part] = sorted({*self.images.get(part, ()), digest})

    @master_only
    def after_train_epoch(self, runner: Any) -> None:
        """Keep the finished epoch's histograms, if it is its turn."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        epoch = runner.epoch + 1
        interval = math.ceil(runner.max_epochs / self.max_records)
        if epoch % interval == 0 or epoch == runner.max_epochs:
            self._write_histograms(runner, epoch)

    @master_only
    def after_val_epoch(
        self, runner: Any, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Keep the predictions of the validation."""
        arrays = _predictions(runner.val_evaluator)
        if arrays is not None:
            _save(runner.work_dir, PREDICTIONS, arrays)
        # Its own loop may validate without training.
        if isinstance(runner._train_loop, IterBasedTrainLoop):
            self._write_histograms(runner, runner.iter)

    @master_only
    def after_test_epoch(
        self, runner: Any, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Keep the predictions of the test, if a run's checkpoint is tested."""
        arrays = _predictions(runner.test_evaluator)
        checkpoint = Path(runner._load_from or '')
        recorded = (checkpoint.parent / RECORD / RUN_FILE).is_file()
        if arrays is not None and recorded:
            arrays = dict(arrays, checkpoint=np.array(checkpoint.name))
            _save(checkpoint.parent, TEST_PREDICTIONS, arrays)

    def _write_histograms(self, runner: Any, step: int) -> None:
        for number, loss in enumerate(histogram_losses(runner.model)):
            arrays = dict(
                examples=loss.finished_examples,
                edges=loss.finished_edges,
                weights=loss.weights,
            )
            _save(
                runner.work_dir,
                f'histograms{number or ""}_{step:07d}.npz',
                {k: v.float().cpu().numpy() for k, v in arrays.items()},
            )


def _save(run: Any, name: str, arrays: Dict[str, Any]) -> None:
    write_arrays(Path(run, RECORD, name), np.savez_compressed, **arrays)


def _predictions(evaluator: Evaluator) -> Optional[Dict[str, Any]]:
    for metric in reversed(evaluator.metrics):
        if isinstance(metric, GroupAccuracy) and metric.predictions:
            return metric.predictions
    return None
