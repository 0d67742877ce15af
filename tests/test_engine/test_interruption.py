"""Runs that are killed and resumed end with the uninterrupted result."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader, Runner

from mmghm.engine.checkpoints import complete_checkpoints
from mmghm.engine.launch import resume_from_complete_checkpoint

# Children start from a process that has imported what they need.
FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['mmpretrain.apis', 'mmghm.engine.launch'])


def train(config, started, die_in_save):
    """Train, going on from the last complete checkpoint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    torch.set_num_threads(1)
    cfg = Config.fromfile(config)
    cfg.experiment_name = f'run_{os.getpid()}'
    resume_from_complete_checkpoint(cfg)
    if die_in_save:
        # All is written but the file is not in its place yet.
        os.fsync = lambda _: os.kill(os.getpid(), die_in_save)
    runner = Runner.from_cfg(cfg)
    started.set()
    runner.train()


def launch(config, die_in_save=None):
    started = FORKS.Event()
    process = FORKS.Process(target=train, args=(config, started, die_in_save))
    process.start()
    return process, started


def write(cfg, folder, **options):
    cfg.work_dir = str(folder)
    cfg.resume = True
    cfg.load_from = None
    cfg.merge_from_dict(options)
    path = f'{folder}.py'
    cfg.dump(path)
    return path


def last_checkpoint(folder):
    return CheckpointLoader.load_checkpoint(
        next(complete_checkpoints(folder)), map_location='cpu'
    )


def assert_same(ours, theirs, path=''):
    """Compare checkpoints, bit for bit, without times and paths."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key, value in theirs.items():
            assert_same(ours[key], value, f'{path}.{key}')
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), path
        for number, pair in enumerate(zip(ours, theirs)):
            assert_same(*pair, f'{path}[{number}]')
    elif torch.is_tensor(theirs):
        assert torch.equal(ours, theirs), path
    else:
        assert ours == theirs, path


def compare(folder, other):
    ours, theirs = last_checkpoint(folder), last_checkpoint(other)
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(ours[part], theirs[part], part)
    assert ours['meta']['iter'] == theirs['meta']['iter']
    assert 'rank_counts' not in ours


def by_epoch(cfg):
    cfg.train_cfg.update(max_epochs=8, val_interval=1)


def by_iteration(cfg):
    cfg.train_cfg = dict(by_epoch=False, max_iters=60, val_interval=7)
    cfg.param_scheduler = dict(type='PolyLR', by_epoch=False, end=60)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3)
    cfg.log_processor = dict(by_epoch=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    'loop, killer',
    [(by_epoch, signal.SIGKILL), (by_iteration, signal.SIGTERM)],
)
def test_kills_change_nothing(digits_cfg, tmp_path, loop, killer):
    check_kills(digits_cfg, tmp_path, loop, killer, kills=5)


def check_kills(digits_cfg, tmp_path, loop, killer, kills):
    cfg = digits_cfg()
    loop(cfg)
    cfg.model.train_cfg = dict(augments=dict(type='Mixup', alpha=0.8))
    config = write(cfg, tmp_path / 'whole')
    process, started = launch(config)
    started.wait(120)
    start = time.monotonic()
    process.join(300)
    seconds = time.monotonic() - start
    assert process.exitcode == 0

    config = write(cfg, tmp_path / 'killed')
    moments = random.Random(killer)
    survived = 0
    while survived < 10:
        in_save = survived % 3 == 2
        process, started = launch(config, killer if in_save else None)
        started.wait(120)
        if not in_save:
            # Short of the end, so that it is not reached before the last kill.
            process.join(moments.uniform(0, seconds / 4))
            os.kill(process.pid, killer)
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -killer
        survived += 1
    assert survived == 10
    process, _ = launch(config)
    process.join(300)
    assert process.exitcode == 0
    compare(tmp_path / 'killed', tmp_path / 'whole')


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_an_epoch_and_not_the_run(
    digits_cfg, tmp_path
):
    cfg = digits_cfg()
    by_epoch(cfg)
    for name in ('whole', 'damaged'):
        process, _ = launch(write(cfg, tmp_path / name))
        process.join(300)
    last = tmp_path / 'damaged/epoch_8.pth'
    last.write_bytes(last.read_bytes()[:-100])
    process, _ = launch(tmp_path / 'damaged.py')
    process.join(300)
    compare(tmp_path / 'damaged', tmp_path / 'whole')


def test_a_full_disk_stops_the_run_and_keeps_its_checkpoints(
    digits_cfg, tmp_path
):
    cfg = digits_cfg()
    by_epoch(cfg)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.work_dir = str(tmp_path / 'full')
    runner = Runner.from_cfg(cfg)
    put = os.replace

    def full(source, target):
        if str(target).endswith('epoch_3.pth'):
            raise OSError(28, 'No space left on device', target)
        put(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'replace', full)
        with pytest.raises(OSError, match='make room and run again'):
            runner.train()
    names = [f for f in os.listdir(cfg.work_dir) if '.pth' in f]
    assert names == ['epoch_2.pth']
    assert last_checkpoint(cfg.work_dir)['meta']['epoch'] == 2
