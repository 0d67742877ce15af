"""What was tried for the losses on a CPU and not kept."""

from typing import Callable, Dict, List

import torch
from harness import Row, interleave, progress, summarise
from losses import long_tail, step
from torch import Tensor

from mmghm.models import LogitAdjustedLoss
from mmghm.models.losses.ops import cross_entropy

KEPT = 'kept: '


class RecomputedSoftmax(torch.autograd.Function):
    """Saves the logits, and takes the softmax again in the backward pass."""

    @staticmethod
    def forward(ctx, logits, prior, target):  # type: ignore[no-untyped-def]
        """Compute the mean cross-entropy, chunk by chunk."""
        ctx.save_for_backward(logits, prior, target)
        losses = torch.empty(len(logits))
        for part in _chunks(logits):
            scores = (logits[part] + prior).softmax(1)
            own = scores.gather(1, target[part].unsqueeze(1)).squeeze(1)
            losses[part] = own.log_().neg_()
        return losses.mean()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        """Compute the gradient, chunk by chunk."""
        logits, prior, target = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        scale = grad / len(logits)
        for part in _chunks(logits):
            torch.softmax(logits[part] + prior, 1, out=gradient[part])
            own = target[part].unsqueeze(1)
            gradient[part].scatter_(1, own, -1.0, reduce='add').mul_(scale)
        return gradient, None, None


def _chunks(logits: Tensor) -> List[slice]:
    rows = 1 + cross_entropy._CHUNK_BYTES // (4 * logits.size(1))
    return [slice(i, i + rows) for i in range(0, len(logits), rows)]


def whole_losses(batch: int, num_classes: int, rounds: int) -> List[Row]:
    """Recomputation, and other sizes of the chunks."""
    logits = torch.randn(batch, num_classes, requires_grad=True)
    sizes = torch.tensor(long_tail(num_classes))
    target = sizes.float().multinomial(batch, replacement=True)
    loss = LogitAdjustedLoss(num_classes, class_counts=sizes)
    prior = loss.logit_bias
    kept = cross_entropy._CHUNK_BYTES

    def chunked(size: int) -> Callable[[], None]:
        run = step(loss, logits, target)

        def with_chunks() -> None:
            cross_entropy._CHUNK_BYTES = size
            run()
            cross_entropy._CHUNK_BYTES = kept

        return with_chunks

    def recomputed() -> None:
        logits.grad = None
        RecomputedSoftmax.apply(logits, prior, target).backward()

    baseline = f'{KEPT}softmax saved, chunks of {kept >> 10:,} KiB'
    subjects = {baseline: step(loss, logits, target)}
    for size in (2**16, 2**18, 2**20):
        subjects[f'chunks of {size >> 10:,} KiB'] = chunked(size)
    subjects['softmax taken again in the backward pass'] = recomputed
    rows: List[Row] = []
    for name, run in list(subjects.items())[1:]:
        pair = {baseline: subjects[baseline], name: run}
        new = summarise(
            f'{batch} x {num_classes}', interleave(pair, rounds), baseline
        )
        rows += new if not rows else new[1:]
    return rows


def operations(batch: int, num_classes: int, rounds: int) -> List[Row]:
    """Single operations with the same effect."""
    logits = torch.randn(batch, num_classes)
    dropped = torch.rand(batch, num_classes) < 0.5
    penalty = dropped * -1.0
    case = f'{batch} x {num_classes}'
    families: List[Dict[str, Callable[[], object]]] = [
        {
            f'{KEPT}finite? by sum': logits.sum,
            'finite? by aminmax of the rows': lambda: logits.aminmax(dim=1),
            'finite? by isfinite().all()': lambda: logits.isfinite().all(),
        },
        {
            f'{KEPT}drop logits by adding a penalty': lambda: torch.add(
                logits, penalty, alpha=1e26
            ),
            'drop logits by masked_fill': lambda: logits.masked_fill(
                dropped, -1e26
            ),
            'drop logits by where': lambda: torch.where(dropped, -1e26, logits),
        },
    ]
    rows: List[Row] = []
    for subjects in families:
        samples = interleave(subjects, rounds)
        rows += summarise(case, samples, next(iter(subjects)))
    return rows


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows: List[Row] = []
    cases = ((16, 100, 5),) if quick else ((256, 1000, 200), (512, 8142, 20))
    for case in progress(cases, 'alternatives'):
        rows += whole_losses(*case) + operations(*case)
    return dict(alternatives=rows)
