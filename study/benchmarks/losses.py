"""Forward and backward of every loss, beside F.cross_entropy."""

import warnings
from typing import Any, Callable, Dict, List

import torch
import torch.nn.functional as F
from mmpretrain.models.losses import SeesawLoss
from torch import Tensor

from mmghm import losses as ours
from study.benchmarks.harness import Row, interleave, progress, summarise

# The sizes of the table of docs/performance.md.
SIZES = ((128, 10), (128, 100), (256, 1000), (512, 8142))
GPU_SIZES = (*SIZES, (4096, 10), (4096, 1000), (4096, 32768), (4096, 100_000))
# The curves: cost by the number of classes, and by the batch size.
CLASSES = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
BATCHES = (16, 32, 64, 128, 256, 512, 1024)
CROSS_ENTROPY = 'F.cross_entropy'
GHM_CWAP = 'GHM-CWAP'
MARGIN_ONLY = 'GHM-CWAP before W acts'
LDAM = 'LDAM'
# Repetitions are chosen so that a case takes about as long as another.
_LOGITS_PER_CASE = 60_000_000


def long_tail(num_classes: int) -> List[int]:
    last = max(num_classes - 1, 1)
    return [max(1, int(5000 * 0.01 ** (c / last))) for c in range(num_classes)]


def make_losses(num_classes: int, every: bool) -> Dict[str, torch.nn.Module]:
    counts = long_tail(num_classes)
    given: Dict[str, Any] = dict(num_classes=num_classes, class_counts=counts)
    waiting = ours.GHMCWAPLoss(**given)
    waiting.weights_active = False
    made: Dict[str, torch.nn.Module] = {
        GHM_CWAP: ours.GHMCWAPLoss(**given),
        MARGIN_ONLY: waiting,
    }
    if every:
        compiled = ours.GHMCWAPLoss(**given)
        compiled.compile()
        compiled_plain = ours.ReweightedCrossEntropyLoss(num_classes, 'none')
        compiled_plain.compile()
        made['GHM-CWAP, torch.compile'] = compiled
        made['cross-entropy, torch.compile'] = compiled_plain
        made.update(
            {
                'GHM-CWAP, balanced margin': ours.GHMCWAPLoss(
                    **given, margin='balanced', gamma=1.0
                ),
                'Balanced Softmax': ours.LogitAdjustedLoss(**given),
                'effective number': ours.ReweightedCrossEntropyLoss(**given),
                'focal': ours.SoftmaxFocalLoss(**given),
                LDAM: ours.LDAMLoss(**given),
                'equalization': ours.SoftmaxEqualizationLoss(**given),
                'GHM-C': ours.GHMCrossEntropyLoss(num_classes),
                'Seesaw': ours.SeesawCrossEntropyLoss(num_classes),
                "mmpretrain's SeesawLoss": SeesawLoss(num_classes=num_classes),
            }
        )
    return made


def step(loss: Callable, logits: Tensor, target: Tensor) -> Callable:
    def run() -> None:
        logits.grad = None
        value = loss(logits, target)
        value = value['loss'] if isinstance(value, dict) else value
        value.backward()

    return run


def measure(
    batch: int, num_classes: int, device: str, every: bool
) -> List[Row]:
    logits = torch.randn(batch, num_classes, device=device, requires_grad=True)
    # Labels as long-tailed as the classes.
    weights = torch.tensor(long_tail(num_classes), dtype=torch.float32)
    target = weights.multinomial(batch, replacement=True).to(device)
    torch.compiler.reset()
    # LDAM takes cosines.
    cosines = logits.detach().tanh().requires_grad_()
    plain = step(F.cross_entropy, logits, target)
    repeats = max(9, min(400, _LOGITS_PER_CASE // (batch * num_classes)))
    rows: List[Row] = []
    for name, loss in make_losses(num_classes, every).items():
        scores = cosines if name == LDAM else logits
        run = step(loss.to(device), scores, target)
        # Each beside cross-entropy alone, lest the others' buffers and code
        # crowd its caches.
        pair = {CROSS_ENTROPY: plain, name: run}
        rounds = max(3, repeats // (20 if 'mmpretrain' in name else 1))
        samples = interleave(pair, rounds, device=device)
        new = summarise(f'{batch} x {num_classes}', samples, CROSS_ENTROPY)
        if device == 'cuda':
            for row in new:
                row.note = _memory(pair[row.subject], logits, row.median)
        # Cross-entropy's own row once.
        rows += new if not rows else new[1:]
    return rows


def _memory(run: Callable, logits: Tensor, milliseconds: float) -> str:
    """Peak memory in B x C buffers, and bandwidth by the least traffic."""
    buffer = logits.numel() * logits.element_size()
    logits.grad = None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    peak = torch.cuda.max_memory_allocated() - before
    # Logits read in both passes, the gradient written.
    bandwidth = 3 * buffer / milliseconds / 1e6
    return f'peak {peak / buffer:.2f} buffers, {bandwidth:.0f} GB/s'


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    warnings.simplefilter('ignore')  # nothing calls rebin() here
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = SIZES[:2] if quick else GPU_SIZES if device == 'cuda' else SIZES
    classes = CLASSES[:3] if quick else CLASSES
    batches = BATCHES[:2] if quick else BATCHES
    found: Dict[str, List[Row]] = {}
    for name, cases, every in (
        ('losses', sizes, True),
        ('losses_by_classes', [(256, c) for c in classes], False),
        ('losses_by_batch', [(b, 1000) for b in batches], False),
    ):
        rows = found.setdefault(name, [])
        for batch, num_classes in progress(cases, name):
            # mmpretrain's buffers do not fit the largest cases.
            few = batch * num_classes > 10_000_000
            rows += measure(batch, num_classes, device, every and not few)
    return found
