"""Several gloo processes against one process on the union of their data."""

import socket
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.dist import all_reduce_params
from mmengine.registry import MODELS
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from mmghm.experiments.launch import leave_process_group
from mmghm.models import GHMCWAPLoss
from mmghm.models.losses.ghm_cwap import rank_sync

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


def connect(rank, world_size, port):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'tcp://127.0.0.1:{port}',
        rank=rank,
        world_size=world_size,
    )


def worker(rank, world_size, port, path, soft, broadcast, kwargs):
    connect(rank, world_size, port)
    inner = model_of(**kwargs)
    model = DistributedDataParallel(inner, broadcast_buffers=broadcast)
    result = train(
        model, inner.loss, slice(rank, None, world_size), soft, world_size
    )
    torch.save(result, f'{path}/{rank}.pt')
    leave_process_group()


def spawn(function, tmp_path, world_size, *args):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    args = (world_size, port, str(tmp_path), *args)
    # From a process that has imported what the ranks need.
    mp.set_forkserver_preload(['mmghm.models', 'torch.distributed.fsdp'])
    mp.start_processes(function, args, world_size, start_method='forkserver')
    return [torch.load(tmp_path / f'{r}.pt') for r in range(world_size)]


def run(tmp_path, world_size, soft=False, broadcast=False, **kwargs):
    return spawn(worker, tmp_path, world_size, soft, broadcast, kwargs)


@pytest.mark.parametrize(
    'world_size, soft, broadcast',
    [
        (2, False, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (3, False, True),
                (4, False, True),
                (2, True, True),
                (4, True, False),
            )
        ),
    ],
)
def test_step_sync_equals_one_process(tmp_path, world_size, soft, broadcast):
    single = model_of()
    expected = train(single, single.loss, slice(None), soft, 1)
    for result in run(tmp_path, world_size, soft, broadcast):
        # A soft share is rounded to 2**-20 the same way on every rank.
        for name in (
            'histogram.counts',
            'histogram.densities',
            'histogram.density_edges',
            'histogram.edges',
            'histogram.num_epochs',
        ):
            assert torch.equal(result[name], expected[name]), name
        torch.testing.assert_close(result['grad'], expected['grad'])
        torch.testing.assert_close(result['weight'], expected['weight'])


@pytest.mark.slow
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
        for name in ('densities', 'density_edges', 'edges'):
            name = f'histogram.{name}'
            assert torch.equal(result[name], expected[name]), name
        torch.testing.assert_close(result['grad'], expected['grad'])


@pytest.mark.slow
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


def count_calls(rank, world_size, port, path, kwargs):
    """Record (name, bytes) of every collective of an epoch of four steps."""
    connect(rank, world_size, port)
    calls = []

    def spy(name):
        original = getattr(rank_sync, name)

        def wrapper(data, *args, **kwargs):
            calls.append((name, data.numel() * data.element_size()))
            return original(data, *args, **kwargs)

        setattr(rank_sync, name, wrapper)

    spy('all_reduce'), spy('all_gather')
    loss = model_of(**kwargs).loss
    for step in range(4):
        features, target = batch(0, step, soft=False)
        loss(features[:, :CLASSES], target)
    steps = list(calls)
    loss.histogram.gather_counts()
    checkpoint = calls[len(steps) :]
    calls.clear()
    loss.rebin()
    torch.save((steps, checkpoint, calls), f'{path}/{rank}.pt')
    leave_process_group()


@pytest.mark.parametrize(
    'kwargs, steps, checkpoint, rebin',
    [
        # The size of a batch once an epoch, then 4 bytes an example.
        (
            dict(sync='step'),
            [('all_reduce', 8), *[('all_gather', 24 * 4)] * 4],
            [],
            [],
        ),
        (
            dict(sync='epoch'),
            [],
            [('all_gather', CLASSES * 6 * 8)],
            [('all_reduce', CLASSES * 6 * 8)],
        ),
        (
            dict(histogram='previous'),
            [],
            [('all_gather', CLASSES * 6 * 8)],
            [('all_reduce', CLASSES * 6 * 8)],
        ),
    ],
)
def test_communication(tmp_path, kwargs, steps, checkpoint, rebin):
    for calls in spawn(count_calls, tmp_path, 2, kwargs):
        assert calls == (steps, checkpoint, rebin)


def halves(rank, world_size, port, path, num_before):
    """Count half an epoch, checkpoint, and go on on this many ranks."""
    connect(rank, world_size, port)
    torch.manual_seed(rank)
    loss = GHMCWAPLoss(CLASSES, sync='epoch', **KWARGS)
    parts = torch.load(f'{path}/parts.pt') if num_before else None
    if parts is not None:
        loss.histogram.restore_counts(parts)
    restored = loss.histogram.counts.clone()
    features, target = batch(0, rank, soft=True)
    loss(features[:, :CLASSES], target)
    parts = loss.histogram.gather_counts()
    dist.barrier()
    if rank == 0:
        torch.save(parts, f'{path}/parts.pt')
    torch.save((restored, loss.histogram.counts), f'{path}/{rank}.pt')
    leave_process_group()


@pytest.mark.slow
@pytest.mark.parametrize('num_after', [2, 3])
def test_counts_inside_an_epoch_go_on_on_any_number_of_ranks(
    tmp_path, num_after
):
    before = spawn(halves, tmp_path, 2, 0)
    parts = torch.load(tmp_path / 'parts.pt')
    after = spawn(halves, tmp_path, num_after, 2)
    total = parts.sum(0)
    if num_after == 2:
        for (_, counted), (restored, _) in zip(before, after):
            assert torch.equal(restored, counted)
    else:
        assert torch.equal(sum(restored for restored, _ in after), total)
    assert int(parts.sum()) == pytest.approx(48 * 2**20, abs=500)


def sharded(rank, world_size, port, path):
    """FSDP over a linear layer and its loss."""
    connect(rank, world_size, port)
    inner = model_of()
    model = FullyShardedDataParallel(inner, device_id=torch.device('cpu'))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(3):
        features, target = batch(0, step, soft=False)
        part = slice(rank, None, world_size)
        value = inner.loss(
            model(features[part]), target[part], avg_factor=len(features)
        )
        optimizer.zero_grad()
        (value * world_size).backward()
        optimizer.step()
    inner.loss.rebin()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.save(state, f'{path}/{rank}.pt')
    leave_process_group()


@pytest.mark.slow
def test_fsdp_equals_one_process(tmp_path):
    single = model_of()
    for step in range(3):
        features, target = batch(0, step, soft=False)
        single.zero_grad()
        value = single.loss(single(features), target, avg_factor=len(features))
        value.backward()
        with torch.no_grad():
            single.weight -= single.weight.grad
            single.bias -= single.bias.grad
    single.loss.rebin()
    expected = single.state_dict()
    for result in spawn(sharded, tmp_path, 2):
        assert set(result) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, msg=name)


def parts_of_a_step(rank, world_size, port, path):
    """Gradient accumulation, an unused layer, averaged buffers."""
    connect(rank, world_size, port)
    loss = GHMCWAPLoss(CLASSES, **KWARGS)
    inner = torch.nn.Linear(8, CLASSES)
    inner.loss, inner.unused = loss, torch.nn.BatchNorm1d(2)
    model = DistributedDataParallel(inner, find_unused_parameters=True)
    for step in range(4):
        features, target = batch(0, step, soft=False)
        part = slice(rank, None, world_size)
        context = model.no_sync() if step % 2 == 0 else nullcontext()
        with context:
            loss(model(features[part]), target[part]).backward()
    before = {k: v.clone() for k, v in loss.state_dict().items()}
    # What SyncBuffersHook calls at an epoch's end.
    all_reduce_params(model.buffers(), op='mean')
    torch.save((before, loss.state_dict()), f'{path}/{rank}.pt')
    leave_process_group()


@pytest.mark.slow
def test_accumulation_unused_parameters_and_averaged_buffers(tmp_path):
    results = spawn(parts_of_a_step, tmp_path, 2)
    for before, after in results:
        assert before['histogram.counts'].sum() == (2 * 24 + 2 * 11) * 2**20
        for name, value in results[0][0].items():
            assert torch.equal(before[name], value)
            assert torch.equal(after[name], value)


@pytest.mark.slow
@pytest.mark.parametrize('reentrant', [False, True])
def test_activation_checkpointing_counts_once(reentrant):
    plain, recomputed = GHMCWAPLoss(CLASSES, **KWARGS), model_of().loss
    for step in range(3):
        features, target = batch(0, step, soft=False)
        logits = features[:, :CLASSES].clone().requires_grad_()
        other = logits.detach().clone().requires_grad_()
        expected = plain(logits, target)
        value = checkpoint(recomputed, other, target, use_reentrant=reentrant)
        expected.backward(), value.backward()
        assert torch.equal(value, expected)
        assert torch.equal(other.grad, logits.grad)
        assert torch.equal(recomputed.histogram.counts, plain.histogram.counts)
