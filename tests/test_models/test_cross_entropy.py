import pytest
import torch
import torch.nn.functional as F

from mmghm.models import GHMCWAPLoss, LogitAdjustedLoss

OP = 'mmghm.models.losses.ops.cross_entropy'


@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('reduction', ['mean', 'none'])
def test_a_kept_graph_gives_its_gradient_again(known, reduction, monkeypatch):
    if not known:
        # As before torch 2.6.
        monkeypatch.delattr(
            torch._C._autograd,
            '_get_current_graph_task_keep_graph',
            raising=False,
        )
    logits = torch.randn(6, 4, requires_grad=True)
    target = torch.randint(4, (6,))
    loss = LogitAdjustedLoss(4, class_counts=[1] * 4)
    value = 3 * loss(logits, target, reduction_override=reduction).sum()
    first, again, last = (
        torch.autograd.grad(value, logits, retain_graph=keep)[0].clone()
        for keep in (True, True, False)
    )
    assert torch.equal(first, again) and torch.equal(first, last)
    plain = 3 * F.cross_entropy(logits, target, reduction=reduction).sum()
    torch.testing.assert_close(first, torch.autograd.grad(plain, logits)[0])


def test_differentiable_once():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = GHMCWAPLoss(3, class_counts=[3, 2, 1])
    value = loss(logits, torch.tensor([0, 2]))
    with pytest.raises(RuntimeError, match='differentiable once'):
        torch.autograd.grad(value, logits, create_graph=True)


@pytest.mark.parametrize('options', [{}, dict(margin='paper')])
def test_chunks_change_nothing(options, monkeypatch):
    torch.manual_seed(0)
    logits = 40 * torch.randn(50, 7)
    # Too unlikely for the short way, and not finite.
    logits[3, 2], logits[20, 5], logits[33, 1] = -500, -float('inf'), 1e30
    target = torch.randint(7, (50,))
    target[3] = 2
    results = []
    for size in (2**22, 1, 28 * 8):
        monkeypatch.setattr(f'{OP}._CHUNK_BYTES', size)
        monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
        loss = GHMCWAPLoss(7, class_counts=range(7, 0, -1), **options)
        z = logits.clone().requires_grad_()
        values = loss(z, target, reduction_override='none')
        values.nansum().backward()
        results.append((values.detach(), z.grad[:20], loss.histogram.counts))
    assert results[0][0].isnan().sum() == 1 and results[0][0][20].isnan()
    for result in results[1:]:
        for one, other in zip(result, results[0]):
            torch.testing.assert_close(one, other, equal_nan=True)
