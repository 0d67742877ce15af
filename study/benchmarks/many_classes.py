"""Thousands of classes: a training step, an epoch's end, a checkpoint."""

import io
import warnings
from typing import Any, Callable, Dict, List

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50

from mmghm.losses import GHMCWAPLoss
from study.benchmarks.harness import Row, interleave, progress, summarise
from study.benchmarks.losses import CROSS_ENTROPY, GHM_CWAP

# iNaturalist 2018 has 8,142; no public long-tailed set has 100,000.
INATURALIST, MANY = 8142, 100_000


def class_counts(number: int) -> List[int]:
    """From 1,000 images to 2, as iNaturalist 2018."""
    return np.geomspace(1000, 2, number).astype(int).tolist()


class Training:
    """A network, its optimizer, a loss and one batch."""

    def __init__(
        self, model: nn.Module, loss: Callable, inputs: Tensor, labels: Tensor
    ) -> None:
        self.model = model.to(inputs.device)
        self.loss = loss
        self.inputs, self.labels = inputs, labels
        self.optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9)

    def step(self) -> None:
        """Take a training step."""
        self.optimizer.zero_grad()
        with torch.autocast(self.inputs.device.type, torch.bfloat16):
            logits = self.model(self.inputs)
        value = self.loss(logits, self.labels)
        value.backward()
        self.optimizer.step()
        assert value.isfinite()

    def checkpoint_mib(self) -> float:
        """Size of a checkpoint.

        Returns:
            float: Weights, momentum and the loss's state, in MiB.
        """
        content = io.BytesIO()
        state: Dict[str, Any] = dict(
            model=self.model.state_dict(), optimizer=self.optimizer.state_dict()
        )
        if isinstance(self.loss, nn.Module):
            state['loss'] = self.loss.state_dict()
        torch.save(state, content)
        return content.tell() / 2**20


def compare(
    case: str,
    make: Callable[[], nn.Module],
    inputs: Tensor,
    num_classes: int,
    repeats: int,
) -> List[Row]:
    device = inputs.device.type
    labels = torch.randint(num_classes, (len(inputs),), device=device)
    loss = GHMCWAPLoss(num_classes, class_counts=class_counts(num_classes))
    trainings = {
        CROSS_ENTROPY: Training(make(), F.cross_entropy, inputs, labels),
        GHM_CWAP: Training(make(), loss.to(device), inputs, labels),
    }
    # W acts from the second epoch.
    trainings[GHM_CWAP].step()
    loss.rebin()
    samples = interleave(
        {name: training.step for name, training in trainings.items()},
        repeats,
        2,
        device,
    )
    rows = summarise(f'{case}, a step', samples, CROSS_ENTROPY)
    sizes = {n: training.checkpoint_mib() for n, training in trainings.items()}
    for name, size in sizes.items():
        ratio = size / sizes[CROSS_ENTROPY]
        mib = float(f'{size:.5g}')
        rows.append(
            Row(
                f'{case}, a checkpoint',
                name,
                'MiB',
                mib,
                mib,
                mib,
                1,
                ratio,
                ratio,
                ratio,
            )
        )
    buffers = sum(value.nbytes for value in loss.state_dict().values())
    rows[-1].note = f'histograms and edges {buffers / 2**20:.2f} MiB'
    counts = torch.poisson(torch.full((num_classes, 30), 3.0)).long().to(device)

    def end_epoch() -> None:
        loss.counts.copy_(counts)
        loss.rebin()
        loss.summary()

    ends = interleave({'rebin() and summary()': end_epoch}, 15, device=device)
    rows += summarise(f"{case}, an epoch's end", ends, 'rebin() and summary()')
    rows[-1].ratio = rows[-1].ratio_q25 = rows[-1].ratio_q75 = None
    return rows


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    warnings.simplefilter('ignore')
    torch.manual_seed(0)
    batch = (2 if quick else 16) if device == 'cpu' else 256
    size = 64 if quick else 224
    images = torch.randn(batch, 3, size, size, device=device)
    features = torch.randn(2 * batch, 256, device=device)
    repeats = 2 if quick else 11
    rows = []
    for case, make, inputs, classes in progress(
        (
            (
                f'{INATURALIST:,} classes, ResNet-50, batch {batch}',
                lambda: resnet50(num_classes=INATURALIST),
                images,
                INATURALIST,
            ),
            (
                f'{MANY:,} classes, a linear layer, batch {2 * batch}',
                lambda: nn.Linear(256, MANY),
                features,
                MANY,
            ),
        ),
        'many classes',
    ):
        rows += compare(case, make, inputs, classes, repeats)
    return dict(many_classes=rows)
