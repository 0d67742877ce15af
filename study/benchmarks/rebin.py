"""An epoch's end: rebin() and the figures for the log, by classes."""

import warnings
from typing import Dict, List

import torch

from mmghm.losses import GHMCWAPLoss
from study.benchmarks.harness import Row, interleave, progress, summarise

CLASSES = (10, 1000, 8142, 100_000)


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    warnings.simplefilter('ignore')
    torch.manual_seed(0)
    rows = []
    for num_classes in progress(CLASSES[:2] if quick else CLASSES, 'rebin'):
        loss = GHMCWAPLoss(num_classes, class_counts=[100] * num_classes)
        loss.to(device)
        counts = torch.poisson(torch.full((num_classes, 30), 3.0))
        counts = counts.long().to(device)
        loss.counts.copy_(counts)
        loss.rebin()

        def rebin(
            loss: GHMCWAPLoss = loss, counts: torch.Tensor = counts
        ) -> None:
            # Filling the table is part of the figure, and small in it.
            loss.counts.copy_(counts)
            loss.rebin()

        samples = interleave(
            {'rebin()': rebin, 'summary()': loss.summary},
            20,
            device=device,
        )
        new = summarise(str(num_classes), samples, 'rebin()')
        state = sum(v.nbytes for v in loss.state_dict().values())
        new[0].note = f'state {state / 2**20:.2f} MiB'
        rows += new
    return {'rebin': rows}
