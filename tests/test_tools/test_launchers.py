"""Several processes, several hosts, and one that dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ..conftest import CONFIGS, ROOT

pytestmark = pytest.mark.slow

DIGITS = str(CONFIGS / 'ghm_cwap/resnet8_digits_lt.py')
EPOCHS = 4


def launch(work_dir, gpus, *args, config=DIGITS, **env):
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    log = open(f'{work_dir}.log', 'a')  # noqa: SIM115
    return subprocess.Popen(
        ['bash', ROOT / 'tools/dist_train.sh', config, str(gpus)]
        + ['--work-dir', work_dir, '--seed', '0', *args]
        + ['--cfg-options', f'train_cfg.max_epochs={EPOCHS}']
        + [f'train_cfg.val_interval={EPOCHS}'],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, 'PATH': path, 'OMP_NUM_THREADS': '1', **env},
    )


def finish(process, work_dir):
    code = process.wait(300)
    assert code == 0, Path(f'{work_dir}.log').read_text()[-4000:]


def assert_same(folder, other):
    states = []
    for path in (folder, other):
        states.append(torch.load(path / f'epoch_{EPOCHS}.pth'))
    ours, theirs = (state['state_dict'] for state in states)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory):
    """The work dir of an undisturbed run of two processes."""
    folder = tmp_path_factory.mktemp('two')
    finish(launch(folder, 2), folder)
    return folder


def workers_of(agent):
    """Process ids of the training processes below torchrun."""
    found = []
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            status = (entry / 'status').read_text()
            command = (entry / 'cmdline').read_text()
        except OSError:
            continue
        parent = re.search(r'PPid:\s+(\d+)', status)
        if parent and int(parent[1]) == agent and 'train.py' in command:
            found.append(int(entry.name))
    return found


def test_a_killed_worker_restarts_all_from_the_last_checkpoint(
    tmp_path, two_processes
):
    process = launch(tmp_path, 2, '--resume', MAX_RESTARTS='1')
    # Some time after a checkpoint, inside the next epoch.
    deadline = time.time() + 200
    while not (tmp_path / 'epoch_2.pth').exists():
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.01)
    os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
    finish(process, tmp_path)
    assert 'resumed epoch: ' in Path(f'{tmp_path}.log').read_text()
    assert_same(tmp_path, two_processes)


def test_workers_that_outlive_torchrun_keep_their_folder(
    tmp_path, two_processes
):
    process = launch(tmp_path, 2)
    deadline = time.time() + 200
    while not (tmp_path / 'epoch_1.pth').exists():
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.001)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    for worker in workers:
        # Slow ones, which would write again later.
        os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.wait()
    try:
        again = launch(tmp_path, 2, '--resume')
        assert again.wait(200) != 0
        log = Path(f'{tmp_path}.log').read_text()
        assert f'{tmp_path} belongs to a run that is still alive' in log
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    finish(launch(tmp_path, 2, '--resume'), tmp_path)
    assert_same(tmp_path, two_processes)


def test_two_hosts_with_one_process_each(tmp_path, two_processes):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    agents = [
        launch(tmp_path, 1, NNODES='2', NODE_RANK=rank, PORT=port)
        for rank in '01'
    ]
    for agent in agents:
        finish(agent, tmp_path)
    assert_same(tmp_path, two_processes)
