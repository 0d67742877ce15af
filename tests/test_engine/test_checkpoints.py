"""Checkpoint files: whole or absent, checked, and read without running code."""

import os
import resource
import tarfile
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner

from mmghm.engine.checkpoints import (
    CheckpointError,
    check_complete,
    checkpoint_to_resume,
    complete_checkpoints,
)
from mmghm.engine.safe_loading import read_checkpoint, trust_checkpoint


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


class Payload:
    """What a stranger may put into a checkpoint."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Sneaky:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def save(path, content=None, seconds=0):
    """A checkpoint of some kilobytes, as old as asked for."""
    torch.save(content or dict(state_dict=dict(w=torch.arange(999))), path)
    os.utime(path, (seconds, seconds))
    return path


def flip(path, position):
    with open(path, 'r+b') as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0x10]))


@pytest.mark.parametrize('nested', [False, True])
def test_code_in_a_checkpoint_is_refused(tmp_path, nested):
    marker = tmp_path / 'ran'
    content = Payload(marker)
    if nested:
        content = dict(state_dict={}, message_hub=[content])
    path = save(tmp_path / 'evil.pth', content)
    # In one line.
    refused = r'[^\n]*evil.pth[^\n]*--trust-checkpoint$'
    with pytest.raises(CheckpointError, match=refused):
        load(path)
    assert not marker.exists()
    # Trust is given to a file and not to the process, and it ends.
    with (
        trust_checkpoint(save(tmp_path / 'other.pth')),
        pytest.raises(CheckpointError),
    ):
        load(path)
    read_checkpoint(path, trust=True)
    assert marker.exists()
    with pytest.raises(CheckpointError):
        load(path)


def test_getattr_in_a_checkpoint_reaches_statistics_only(tmp_path):
    path = save(tmp_path / 'evil.pth', Sneaky())
    with pytest.raises(CheckpointError, match='__init__'):
        load(path)


def test_code_behind_a_url_is_refused(tmp_path, monkeypatch, serve):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    folder = tmp_path / 'server'
    folder.mkdir()
    save(folder / 'evil.pth', Payload(tmp_path / 'ran'))
    save(folder / 'good.pth')
    url = serve(partial(SimpleHTTPRequestHandler, directory=str(folder)))
    assert 'w' in load(f'{url}/good.pth')['state_dict']
    with pytest.raises(CheckpointError, match=r'evil.pth'):
        load(f'{url}/evil.pth')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('store', ['s3', 'petrel', 'cluster:s3'])
def test_code_in_an_object_store_is_refused(tmp_path, monkeypatch, store):
    class Store:
        @contextmanager
        def get_local_path(self, address):
            yield tmp_path / address.rpartition('/')[2]

    monkeypatch.setattr(
        'mmghm.engine.safe_loading.get_file_backend', lambda *_, **__: Store()
    )
    save(tmp_path / 'evil.pth', Payload(tmp_path / 'ran'))
    save(tmp_path / 'good.pth')
    assert 'w' in load(f'{store}://bucket/good.pth')['state_dict']
    with pytest.raises(CheckpointError, match=r'evil.pth'):
        load(f'{store}://bucket/evil.pth')
    assert not (tmp_path / 'ran').exists()


def test_formats_without_a_safe_loader_are_refused(tmp_path):
    # torch before 2.6 unpacks the first and runs the second, whatever
    # weights_only says.
    tar = tmp_path / 'tar.pth'
    with tarfile.open(tar, 'w', format=tarfile.GNU_FORMAT) as archive:
        # It begins like a bare pickle.
        archive.addfile(tarfile.TarInfo('\udc80\x02'))
    assert tar.read_bytes().startswith(b'\x80\x02')
    with pytest.raises(CheckpointError, match=r'run code.*tar archive'):
        load(tar)
    program = save(tmp_path / 'program.pth')
    with zipfile.ZipFile(program, 'a') as archive:
        archive.writestr('program/constants.pkl', b'')
    with pytest.raises(CheckpointError, match=r'run code.*TorchScript'):
        load(program)


@pytest.mark.parametrize('trust', [False, True])
def test_what_a_resumed_run_would_evaluate_is_left_out(tmp_path, trust):
    meta = dict(epoch=1, config='import os', cfg='a = 1')
    path = save(tmp_path / 'epoch_1.pth', dict(meta=meta))
    read = read_checkpoint(path, trust)['meta']
    assert read == dict(epoch=1, cfg='a = 1')


@pytest.mark.parametrize('module', ['numpy.core', 'numpy._core'])
def test_numpy_values_of_either_version_are_read(tmp_path, module):
    history = HistoryBuffer([2], [1])
    values = [np.float32(1.5), np.arange(3), np.bool_(True), history]
    path = save(tmp_path / 'epoch_1.pth', dict(values=values))
    written = np.array(0).__reduce__()[0].__module__.encode()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, part in parts.items():
            other = part.replace(written, f'{module}.multiarray'.encode())
            archive.writestr(name, other)
    scalar, array, flag, history = load(path)['values']
    assert (scalar, array.tolist(), flag) == (1.5, [0, 1, 2], True)
    assert history.statistics('mean', 1) == 2


@pytest.mark.parametrize('size', [0, 1, 700, 4000])
def test_a_truncated_file_is_refused(tmp_path, size):
    path = save(tmp_path / 'epoch_1.pth')
    with open(path, 'r+b') as file:
        file.truncate(size)
    with pytest.raises(CheckpointError, match=r'epoch_1\.pth is no complete'):
        load(path)


def test_a_flipped_bit_never_changes_what_is_read(tmp_path):
    path = save(tmp_path / 'epoch_1.pth')
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        path.write_bytes(content)
        flip(path, position)
        try:
            read = load(path)['state_dict']['w']
        except CheckpointError as error:
            assert 'epoch_1.pth' in str(error)
            refused += 1
        else:
            # Padding and time stamps carry nothing.
            assert torch.equal(read, torch.arange(999))
    assert refused > 8000 / 7


def test_the_newest_complete_checkpoint_is_taken(tmp_path):
    for epoch in (8, 9, 10):
        save(tmp_path / f'epoch_{epoch}.pth', seconds=epoch)
    save(tmp_path / 'best_top1_epoch_11.pth', seconds=11)
    assert checkpoint_to_resume(tmp_path, None).endswith('epoch_10.pth')
    # A copy may have another time.
    os.utime(tmp_path / 'epoch_10.pth', (1, 1))
    assert checkpoint_to_resume(tmp_path, None).endswith('epoch_10.pth')
    flip(tmp_path / 'epoch_10.pth', 3000)
    with pytest.warns(UserWarning, match=r'epoch_10\.pth is damaged'):
        chosen = checkpoint_to_resume(tmp_path, None)
    assert chosen == str(tmp_path / 'epoch_9.pth')
    with (
        pytest.warns(UserWarning),
        pytest.raises(
            CheckpointError, match=r'epoch_10.*; \S+epoch_9\.pth is complete'
        ),
    ):
        checkpoint_to_resume(tmp_path, str(tmp_path / 'epoch_10.pth'))
    with pytest.raises(FileNotFoundError, match=r'epoch_99\.pth'):
        check_complete(str(tmp_path / 'epoch_99.pth'))
    assert list(complete_checkpoints(tmp_path / 'nowhere')) == []


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'file'
    backend = get_file_backend(str(path), backend_args=dict(backend='atomic'))
    backend.put(b'before', str(path))
    # As on a full disk.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r'cannot save .* intact.*--resume'):
            backend.put(bytes(5000), str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b'before'
    assert os.listdir(tmp_path) == ['file']
    backend.put(b'after', str(path))
    assert path.read_bytes() == b'after'


def test_some_checkpoints_are_kept(digits_cfg):
    cfg = digits_cfg(max_epochs=5)
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, keep_every=2)
    Runner.from_cfg(cfg).train()
    files = sorted(f for f in os.listdir(cfg.work_dir) if f.endswith('.pth'))
    assert files == ['epoch_2.pth', 'epoch_4.pth', 'epoch_5.pth']


@pytest.mark.parametrize('kept', [1, 2])
def test_an_old_checkpoint_goes_after_the_next_is_saved(
    digits_cfg, monkeypatch, kept
):
    cfg = digits_cfg(max_epochs=4)
    cfg.default_hooks.checkpoint.max_keep_ckpts = kept
    runner = Runner.from_cfg(cfg)
    save_checkpoint = runner.save_checkpoint
    before_saving = []

    def spy(*args, **kwargs):
        before_saving.append(len(list(complete_checkpoints(cfg.work_dir))))
        save_checkpoint(*args, **kwargs)

    monkeypatch.setattr(runner, 'save_checkpoint', spy)
    runner.train()
    assert before_saving == [min(n, kept) for n in range(4)]
    files = sorted(f for f in os.listdir(cfg.work_dir) if f.endswith('.pth'))
    assert files == [f'epoch_{n}.pth' for n in range(5 - kept, 5)]


@pytest.mark.parametrize(
    'options, match',
    [
        ({'num_regions': 7}, r'cannot resume: .*edges has shape \(10, 31\)'),
        (None, r'cannot resume: the checkpoint has no head.*edges'),
    ],
)
def test_a_resume_without_its_histograms_is_refused(digits_cfg, options, match):
    other = 'ghm_cwap' if options else 'softmax'
    first = digits_cfg(1, config=f'{other}/resnet8_digits_lt.py')
    Runner.from_cfg(first).train()
    cfg = digits_cfg(max_epochs=2)
    cfg.model.head.loss.update(options or {})
    cfg.update(resume=True, load_from=f'{cfg.work_dir}/epoch_1.pth')
    with pytest.raises(ValueError, match=match):
        Runner.from_cfg(cfg).train()


def test_published_averaged_weights_hold_the_running_histograms(digits_cfg):
    cfg = digits_cfg(max_epochs=2)
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    runner = Runner.from_cfg(cfg)
    runner.train()
    checkpoint = load(f'{cfg.work_dir}/epoch_2.pth')
    prefix = 'head.loss_module.'
    for name, value in runner.model.head.loss_module.state_dict().items():
        assert torch.equal(checkpoint['state_dict'][prefix + name], value)
        averaged = checkpoint['ema_state_dict'][f'module.{prefix}{name}']
        assert torch.equal(averaged, value)
    assert not torch.equal(
        checkpoint['state_dict']['head.fc.weight'], runner.model.head.fc.weight
    )
