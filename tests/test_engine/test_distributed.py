"""Several gloo processes against one process on the union of their data."""

import socket
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from mmengine.dist import all_reduce_params
from mmengine.registry import MODELS
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from mmghm.engine.launch import leave_process_group
from mmghm.losses import GHMCWAPLoss

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
    mp.set_forkserver_preload(['mmghm', 'torch.distributed.fsdp'])
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
def test_equals_one_process(tmp_path, world_size, soft, broadcast):
    single = model_of()
    expected = train(single, single.loss, slice(None), soft, 1)
    for result in run(tmp_path, world_size, soft, broadcast):
        # Part of an example is rounded to 2**-20 the same way on every rank.
        for name in single.loss.state_dict():
            assert torch.equal(result[name], expected[name]), name
        torch.testing.assert_close(result['grad'], expected['grad'])
        torch.testing.assert_close(result['weight'], expected['weight'])


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


def count_calls(rank, world_size, port, path):
    """Record the bytes of every collective of an epoch of four steps."""
    connect(rank, world_size, port)
    calls = []
    original = dist.all_reduce

    def recorded(tensor, *args, **kwargs):
        calls.append(tensor.numel() * tensor.element_size())
        return original(tensor, *args, **kwargs)

    dist.all_reduce = recorded
    loss = model_of().loss
    for step in range(4):
        features, target = batch(0, step, soft=False)
        loss(features[:, :CLASSES], target)
    loss.rebin()
    torch.save(calls, f'{path}/{rank}.pt')
    leave_process_group()


def test_communication(tmp_path):
    """8 bytes for each class and region in a step, nothing at an epoch's end."""
    for calls in spawn(count_calls, tmp_path, 2):
        assert calls == [CLASSES * 6 * 8] * 4


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


def one_process():
    """The state after the same steps in one process."""
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
    return single.state_dict()


@pytest.mark.slow
def test_fsdp_equals_one_process(tmp_path):
    expected = one_process()
    for result in spawn(sharded, tmp_path, 2):
        assert set(result) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, msg=name)


def whole_state(model):
    """A model's state with whole parameters, on every rank."""
    return {
        name: getattr(value, 'full_tensor', value.clone)()
        for name, value in model.state_dict().items()
    }


def fully_sharded(rank, world_size, port, path):
    """FSDP2: train, save and load sharded, and restore from rank 0."""
    from torch.distributed.fsdp import fully_shard

    connect(rank, world_size, port)
    inner = model_of()
    fully_shard(inner)
    optimizer = torch.optim.SGD(inner.parameters(), lr=1.0)
    for step in range(3):
        features, target = batch(0, step, soft=False)
        part = slice(rank, None, world_size)
        value = inner.loss(
            inner(features[part]), target[part], avg_factor=len(features)
        )
        optimizer.zero_grad()
        (value * world_size).backward()
        optimizer.step()
    inner.loss.rebin()
    trained = whole_state(inner)

    saved = {'model': get_model_state_dict(inner)}
    dcp.save(saved, checkpoint_id=f'{path}/sharded')
    with torch.device('meta'):
        other = model_of()
    fully_shard(other)
    other.to_empty(device='cpu')
    other.loss.reset_parameters()
    loaded = {'model': get_model_state_dict(other)}
    dcp.load(loaded, checkpoint_id=f'{path}/sharded')
    set_model_state_dict(other, loaded['model'])
    from_shards = whole_state(other)

    third = model_of()
    fully_shard(third)
    set_model_state_dict(
        third,
        # It is changed in place.
        dict(trained) if rank == 0 else {},
        options=StateDictOptions(
            full_state_dict=True, broadcast_from_rank0=True
        ),
    )
    states = (trained, from_shards, whole_state(third))
    torch.save(states, f'{path}/{rank}.pt')
    leave_process_group()


@pytest.mark.slow
@pytest.mark.skipif(
    torch.__version__ < (2, 6), reason='fully_shard is public since torch 2.6'
)
def test_fsdp2_equals_one_process_and_restores(tmp_path):
    expected = one_process()
    for states in spawn(fully_sharded, tmp_path, 2):
        for state in states:
            assert set(state) == set(expected)
            for name, value in expected.items():
                torch.testing.assert_close(state[name], value, msg=name)


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
        assert before['counts'].sum() == (2 * 24 + 2 * 11) * 2**20
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
        assert torch.equal(recomputed.counts, plain.counts)
