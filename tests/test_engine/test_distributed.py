"""Several gloo processes against one process on the union of their data."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import MODELS
from torch.nn.parallel import DistributedDataParallel

import mmghm  # noqa: F401

CLASSES = 5
KWARGS = dict(num_regions=6, class_counts=[60, 30, 9, 3, 2])


def batch(epoch, step, soft):
    """The union of the ranks' batches of one step; the last one is short."""
    generator = torch.Generator().manual_seed(100 * epoch + step)
    size = 24 if step < 2 else 11
    features = torch.randn(size, 8, generator=generator)
    target = torch.randint(CLASSES, (size,), generator=generator)
    if soft:
        target = torch.rand(size, CLASSES, generator=generator)
        target = target / target.sum(1, keepdim=True)
    return features, target


def model_of(loss='GHMCWAPLoss', **kwargs):
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, CLASSES)
    if loss == 'GHMCWAPLoss':
        kwargs.update(KWARGS)
    linear.loss = MODELS.build(dict(type=loss, num_classes=CLASSES, **kwargs))
    return linear


def train(model, loss, part, soft, world_size):
    """Three epochs; returns gradients of the last step and the state."""
    inner = getattr(model, 'module', model)
    for epoch in range(3):
        for step in range(3):
            features, target = batch(epoch, step, soft)
            total = len(features)
            features, target = features[part], target[part]
            model.zero_grad()
            # DDP averages gradients: the sum over ranks is theirs times W.
            value = loss(model(features), target, avg_factor=total) * world_size
            value.backward()
            with torch.no_grad():
                inner.weight -= inner.weight.grad
        if hasattr(loss, 'rebin'):
            loss.rebin()
    state = {k: v.clone() for k, v in loss.state_dict().items()}
    return dict(grad=inner.weight.grad, weight=inner.weight.detach(), **state)


def worker(rank, world_size, port, path, soft, broadcast, kwargs):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'tcp://127.0.0.1:{port}',
        rank=rank,
        world_size=world_size,
    )
    inner = model_of(**kwargs)
    model = DistributedDataParallel(inner, broadcast_buffers=broadcast)
    result = train(
        model, inner.loss, slice(rank, None, world_size), soft, world_size
    )
    torch.save(result, f'{path}/{rank}.pt')
    dist.destroy_process_group()


def run(tmp_path, world_size, soft=False, broadcast=False, **kwargs):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    mp.spawn(
        worker,
        (world_size, port, str(tmp_path), soft, broadcast, kwargs),
        nprocs=world_size,
    )
    return [torch.load(tmp_path / f'{r}.pt') for r in range(world_size)]


@pytest.mark.parametrize(
    'world_size, soft, broadcast',
    [(2, False, False), (3, False, True), (2, True, True)],
)
def test_step_sync_equals_one_process(tmp_path, world_size, soft, broadcast):
    single = model_of()
    expected = train(single, single.loss, slice(None), soft, 1)
    for result in run(tmp_path, world_size, soft, broadcast):
        # A soft share is rounded to 2**-20 the same way on every rank.
        for name in (
            'counts',
            'shares',
            'values',
            'values_edges',
            'edges',
            'effective_sizes',
            'num_rebins',
        ):
            assert torch.equal(result[name], expected[name]), name
        torch.testing.assert_close(result['grad'], expected['grad'])
        torch.testing.assert_close(result['weight'], expected['weight'])


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(histogram='previous'),
        dict(histogram='running', sync='epoch', intra_balance=False),
    ],
)
def test_epoch_sync_publishes_the_same_histograms(tmp_path, kwargs):
    single = model_of(**kwargs)
    expected = train(single, single.loss, slice(None), False, 1)
    # DDP would overwrite buffers with rank 0's at each forward.
    for result in run(tmp_path, 2, broadcast=True, **kwargs):
        for name in ('values', 'values_edges', 'edges', 'effective_sizes'):
            assert torch.equal(result[name], expected[name]), name
        torch.testing.assert_close(result['grad'], expected['grad'])


@pytest.mark.parametrize(
    'loss, state',
    [
        ('SeesawCrossEntropyLoss', 'seen'),
        ('GHMCrossEntropyLoss', 'smooth_counts'),
    ],
)
def test_baselines_count_over_all_ranks(tmp_path, loss, state):
    single = model_of(loss)
    expected = train(single, single.loss, slice(None), False, 1)
    for result in run(tmp_path, 2, broadcast=True, loss=loss):
        assert torch.equal(result[state], expected[state])
        torch.testing.assert_close(result['grad'], expected['grad'])
        torch.testing.assert_close(result['weight'], expected['weight'])
