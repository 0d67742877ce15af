"""No file runs code."""

import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader, Runner

from mmghm.engine.launch import (
    build_runner,
    resume_from_complete_checkpoint,
)
from mmghm.engine.safe_loading import read_checkpoint
from mmghm.report.page import read_runs, render
from mmghm.utils.literals import read_settings
from study.saved import load_loss

from .files import Files


def code(path):
    """Python that would leave a trace if it were run."""
    return f"open({str(path)!r}, 'w').write('ran')\nmodel = dict(type='A')\n"


@pytest.fixture
def trained(digits_cfg):
    cfg = digits_cfg(max_epochs=1)
    Runner.from_cfg(cfg).train()
    return cfg


@pytest.mark.parametrize('key', ['config', 'cfg'])
def test_a_checkpoints_config_is_not_run(trained, tmp_path, key):
    trace = tmp_path / 'trace'
    path = f'{trained.work_dir}/epoch_1.pth'
    checkpoint = torch.load(path)
    checkpoint['meta'][key] = code(trace)
    torch.save(checkpoint, path)
    # As `train --resume` and `plot_histograms` read it.
    again = Config(trained.to_dict())
    again.update(resume=True, experiment_name=f'{trained.experiment_name}_2')
    again.train_cfg.max_epochs = 2
    resume_from_complete_checkpoint(again)
    build_runner(again).train()
    load_loss(Path(path))
    assert not trace.exists()


def test_a_runs_config_is_not_run(trained, tmp_path):
    trace = tmp_path / 'trace'
    config = Path(trained.work_dir) / 'config.py'
    config.write_text(trained.pretty_text + code(trace))
    (run,) = read_runs([Path(trained.work_dir)])
    assert run.config.train_cfg.max_epochs == 1
    assert render([run]) and not trace.exists()


def test_plain_settings_are_read():
    text = Config(
        dict(
            model=dict(head=dict(loss=dict(type='A', alpha=-0.5, p=(1, 2)))),
            names=['a', None, True],
            table={1: 'x'},
        )
    ).pretty_text
    read = read_settings(text + 'x = __import__("os").getpid()\ny = 1 + z\n')
    assert read == dict(
        model=dict(head=dict(loss=dict(type='A', alpha=-0.5, p=(1, 2)))),
        names=['a', None, True],
        table={1: 'x'},
    )
    assert read_settings('a = 1\nb = (') == {}
    assert read_settings('a = ' + '[' * 5000) == {}
    assert read_settings("a = dict(**{'b': 1})\nc = dict([])") == {}


def test_trust_is_given_to_an_address(serve, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = f'{serve(Files)}/own.pth'
    # More than tensors, and harmless.
    torch.save(dict(x=Path('a')), tmp_path / 'file')
    Files.content['/own.pth'] = (tmp_path / 'file').read_bytes()
    with pytest.raises(ValueError, match='run code'):
        CheckpointLoader.load_checkpoint(address)
    read = read_checkpoint(address, trust=True)
    assert read['x'] == Path('a')


def test_a_name_with_a_hash_is_held_to_it(serve, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = serve(Files)
    torch.save(dict(x=torch.tensor(5)), tmp_path / 'file')
    # Elsewhere the digits may be a date.
    Files.content['/net-20230101.pth'] = (tmp_path / 'file').read_bytes()
    dated = CheckpointLoader.load_checkpoint(f'{address}/net-20230101.pth')
    assert int(dated['x']) == 5
    monkeypatch.setattr(
        'mmghm.engine.safe_loading.HASHED_HOSTS', ('127.0.0.1',)
    )
    content = (tmp_path / 'file').read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    Files.content[f'/net-{digest}.pth'] = content
    Files.content['/net-00000000.pth'] = content
    good = CheckpointLoader.load_checkpoint(f'{address}/net-{digest}.pth')
    assert int(good['x']) == 5
    # Where PyTorch itself keeps it.
    assert (tmp_path / f'hub/checkpoints/net-{digest}.pth').exists()
    with pytest.raises(ValueError, match='not what its name promises'):
        CheckpointLoader.load_checkpoint(f'{address}/net-00000000.pth')


def test_model_zoos_are_read_safely(serve, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = serve(Files)
    trace = tmp_path / 'trace'

    class Evil:
        def __reduce__(self):
            return open, (str(trace), 'w')

    torch.save(dict(state_dict=Evil()), tmp_path / 'file')
    Files.content['/evil.pth'] = (tmp_path / 'file').read_bytes()
    for models in ('mmcls', 'torchvision', 'external'):
        monkeypatch.setattr(
            f'mmengine.runner.checkpoint.get_{models}_models',
            lambda: dict(net=f'{address}/evil.pth'),
        )
    for zoo in ('mmcls', 'torchvision', 'modelzoo', 'open-mmlab', 'openmmlab'):
        with pytest.raises(ValueError, match='run code'):
            CheckpointLoader.load_checkpoint(f'{zoo}://net')
    assert not trace.exists()
    with pytest.raises(ValueError, match='did you mean net'):
        CheckpointLoader.load_checkpoint('torchvision://nett')
