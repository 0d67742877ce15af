"""Kills and full disks at random moments; many files; locks."""

import errno
import fcntl
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch

from mmghm.cli import main
from mmghm.deploy import read_back

from ..conftest import ROOT, run_command

pytestmark = pytest.mark.slow
# Of publish, predict and export each.
# CI tries few; the promise was tried with 20.
MOMENTS = int(os.environ.get('MMGHM_MOMENTS', 3))


# A server that has imported everything and has no threads that a fork would cut.
FORKS = multiprocessing.get_context('forkserver')
FORKS.set_forkserver_preload(['mmghm.everything'])


def start(command, cwd, most_bytes=None):
    """Run a command in a process of its own.

    Args:
        command (tuple): Words after ``mmghm``.
        cwd (Path): Where.
        most_bytes (Optional[int]): Files cannot grow beyond: a full disk.
    """
    child = FORKS.Process(target=run, args=(command, cwd, most_bytes))
    child.start()
    return child


def run(command, cwd, most_bytes):
    os.setsid()
    os.chdir(cwd)
    log = os.open('log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    torch.set_num_threads(1)
    # A fresh interpreter would take most of the time; it has its own test.
    read_back.check_folder = lambda *_: time.sleep(0.2)
    if most_bytes is not None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    sys.exit(main(list(map(str, command))))


def end(child):
    child.join()
    return child.exitcode


def contents(folder):
    """What a command made: all but logs, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file() and path.name != 'log.txt'
    }


COMMANDS = {
    'publish': lambda trained, published, photos: (
        *('publish', *trained, 'made', '--no-test'),
    ),
    'predict': lambda trained, published, photos: (
        *('predict', published, photos, '--out', 'made.csv', '--html'),
        *('made.html', '--workers', 0, '--batch-size', 4),
    ),
    'predict, prior estimated': lambda trained, published, photos: (
        *('predict', published, photos, '--out', 'made.parquet'),
        *('--prior', 'estimate', '--workers', 0, '--batch-size', 4),
    ),
    'export': lambda trained, published, photos: (
        *('export', published, '--format', 'torch', '--out', 'made.pt2'),
    ),
    'export, ONNX': lambda trained, published, photos: (
        *('export', published, '--format', 'onnx', '--out', 'made.onnx'),
    ),
}


@pytest.mark.parametrize('name', COMMANDS)
def test_an_interrupted_command_ends_as_one_that_was_not(
    name, trained, published, photos, tmp_path
):
    """SIGKILL, SIGTERM, a full disk: then the same command again."""
    command = COMMANDS[name](trained, published, photos)
    draw = random.Random(name)
    whole = tmp_path / 'whole'
    whole.mkdir()
    # Starts the server, which takes time once.
    end(start(('--help',), tmp_path))
    began = time.time()
    assert end(start(command, whole)) == 0, (whole / 'log.txt').read_text()
    took = time.time() - began
    expected = contents(whole)
    size = max(map(len, expected.values()))
    interrupted = 0
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        kind = ('SIGKILL', 'SIGTERM', 'full disk')[moment % 3]
        if kind == 'full disk':
            status = end(start(command, folder, draw.randrange(1, size)))
            assert status in (0, 2), (folder / 'log.txt').read_text()
        else:
            child = start(command, folder)
            time.sleep(draw.uniform(0, took))
            child.kill() if kind == 'SIGKILL' else child.terminate()
            status = end(child)
        found = contents(folder)
        if status:
            interrupted += 1
            # Nothing that looks finished is half there.
            for path in set(found) & set(expected):
                assert same(path, found[path], expected[path]), (kind, path)
        made = {path.partition('/')[0] for path in found}
        if (
            not {
                'made',
                *(f'made.{e}' for e in ('csv', 'parquet', 'pt2', 'onnx')),
            }
            & made
        ):
            status = end(start(command, folder))
            assert status == 0, (kind, (folder / 'log.txt').read_text())
        found = contents(folder)
        assert set(expected) <= set(found), kind
        for path, content in expected.items():
            assert same(path, found[path], content), (kind, path)
        # What a kill leaves is hidden, and in nobody's way.
        left = {path for path in set(found) - set(expected) if path[0] != '.'}
        assert not left, (kind, left)
        text = (folder / 'log.txt').read_text()
        assert 'Traceback' not in text and 'traceback' not in text, text
    assert interrupted >= MOMENTS // 2


def same(path, one, other):
    """Whether two files say the same; archives also hold times and names."""
    if path.endswith(('.pt2', '.pth', 'SHA256SUMS')):
        return abs(len(one) - len(other)) < 2000
    if path.endswith('README.md'):
        return one.count(b'\n') == other.count(b'\n')
    return one == other


def test_a_killed_publish_leaves_no_process(trained, tmp_path):
    """The process that reads the folder back ends with its parent."""
    command = [sys.executable, '-m', 'mmghm', 'publish', *trained, 'out']
    process = subprocess.Popen(
        [*command, '--no-test'], cwd=tmp_path, env=environment()
    )
    reader = None
    deadline = time.time() + 300
    while reader is None:
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
        for number in children(process.pid):
            words = Path(f'/proc/{number}/cmdline').read_bytes()
            if b'spawn_main' in words:
                reader = number
    process.kill()
    process.wait()
    # It first imports everything, which takes long on a busy machine.
    deadline = time.time() + 300
    while lives(reader):
        assert time.time() < deadline
        time.sleep(0.1)
    assert not (tmp_path / 'out').exists()


def lives(process):
    """Whether a process runs; one that nobody waits for may stay a zombie."""
    try:
        stat = Path(f'/proc/{process}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] not in 'ZX'


def children(process):
    tasks = Path(f'/proc/{process}/task/{process}/children')
    return tasks.read_text().split() if tasks.exists() else []


def environment():
    return {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}


MEASURED = """
import resource, sys
from mmghm.cli import main
status = main(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def test_memory_stays_flat(published, tmp_path):
    """From a tenth of the images to all of them, in one folder each."""
    most = int(os.environ.get('MMGHM_LOAD', 20_000))
    peaks = []
    for number in (most // 10, most):
        folder = tmp_path / str(number)
        folder.mkdir()
        random = np.random.default_rng(0)
        for index in range(number):
            image = random.integers(0, 256, (8, 8), dtype=np.uint8)
            cv2.imwrite(str(folder / f'{index:07}.png'), image)
        options = ('--workers', '0', '--batch-size', '256', '--out', 'a.csv')
        done = subprocess.run(
            [sys.executable, '-c', MEASURED, 'predict', published]
            + [str(folder), *options],
            cwd=folder.parent,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f'{number:,} images' in done.stderr
        peaks.append(int(re.search(r'peak (\d+)', done.stdout)[1]) / 1024)
        (tmp_path / 'a.csv').unlink()
    print(f'\npeak memory, MiB: {peaks[0]:.0f} at {most // 10:,} images, '
          f'{peaks[1]:.0f} at {most:,}')  # fmt: skip
    assert peaks[1] - peaks[0] < 100


HOLD = """
import errno, fcntl, sys, time
if sys.argv[1] == 'without':
    def flock(*_):
        raise OSError(errno.ENOSYS, 'Function not implemented')
    fcntl.flock = flock
from mmghm.deploy.prediction_writer import PredictionWriter
from pathlib import Path
writer = PredictionWriter(Path('out.csv'), {})
print('held', flush=True)
time.sleep(600)
"""


def no_flock(*_):
    raise OSError(errno.ENOSYS, 'Function not implemented')


@pytest.mark.filterwarnings('ignore:flock not supported')
@pytest.mark.parametrize('flock', ['with', 'without'])
def test_a_lock_survives_no_kill_and_no_reused_number(flock, tmp_path):
    from mmghm.deploy.prediction_writer import PredictionWriter
    from mmghm.utils.errors import UserError

    def write():
        writer = PredictionWriter(tmp_path / 'out.csv', {})
        writer.lock.release()

    patch = mock.patch.object(fcntl, 'flock', no_flock)
    with patch if flock == 'without' else mock.MagicMock():
        holder = subprocess.Popen(
            [sys.executable, '-c', HOLD, flock],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert holder.stdout.readline() == b'held\n'
        with pytest.raises(UserError, match='another process writes'):
            write()
        holder.kill()
        holder.wait()
        lock = tmp_path / '.out.csv.lock'
        held = lock.read_text() if lock.exists() else ''
        # The number now belongs to a process that has nothing to do with it.
        lock.write_text(held.replace(str(holder.pid), str(os.getppid())))
        write()


def test_ranks_end_with_a_message_when_one_is_killed(tmp_path):
    """Four gloo ranks train; one is killed."""
    killed = 2
    launch = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    errors = tmp_path / 'errors.txt'
    process = subprocess.Popen(
        [*launch, '--nproc_per_node=4', ROOT / 'tools/train.py']
        + [ROOT / 'configs/ghm_cwap/resnet8_digits_lt.py']
        + ['--launcher', 'pytorch', '--work-dir', str(tmp_path / 'run')]
        + ['--cfg-options', 'train_cfg.max_epochs=1000'],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=os.open(errors, os.O_WRONLY | os.O_CREAT),
        start_new_session=True,
    )
    try:
        deadline = time.time() + 500
        while not list((tmp_path / 'run').glob('*.pth')):
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.2)
        ranks = {rank_of(number): number for number in children(process.pid)}
        os.kill(int(ranks[str(killed)]), signal.SIGKILL)
        began = time.time()
        assert process.wait(60) != 0
        print(f'\nended after {time.time() - began:.0f} s')
        text = errors.read_text()
        assert re.search(rf'rank *: {killed}\b', text), text[-2000:]
        assert 'Signal 9 (SIGKILL)' in text
        assert not any(map(lives, ranks.values()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    status, printed = run_command(
        *('train', ROOT / 'configs/ghm_cwap/resnet8_digits_lt.py', '--resume'),
        *('--work-dir', tmp_path / 'run', '--cfg-options'),
        *('train_cfg.max_epochs=1', 'default_hooks.logger.interval=1000'),
        cwd=tmp_path,
    )
    assert status == 0, printed


def rank_of(process):
    text = Path(f'/proc/{process}/environ').read_bytes()
    found = re.search(rb'(?:^|\0)RANK=(\d+)', text)
    return found[1].decode() if found else ''
