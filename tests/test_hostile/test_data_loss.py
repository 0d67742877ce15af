"""Nothing of the user's is deleted or written over."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmghm.engine.checkpoints import AtomicLocalBackend
from mmghm.engine.launch import resume_from_complete_checkpoint


def test_two_writers_do_not_share_a_temporary_file(tmp_path, monkeypatch):
    backend, seen = AtomicLocalBackend(), []
    monkeypatch.setattr(
        'os.replace', lambda partial, path: seen.append(partial)
    )
    for _ in range(2):
        backend.put(b'content', str(tmp_path / 'file'))
    assert len(set(seen)) == 2
    assert all(Path(partial).parent == tmp_path for partial in seen)


@pytest.mark.parametrize(
    'saving',
    [dict(filename_tmpl='net_{}.pth'), dict(out_dir='elsewhere')],
)
def test_resumes_where_the_run_saves(digits_cfg, tmp_path, saving):
    if 'out_dir' in saving:
        saving = dict(out_dir=str(tmp_path / 'elsewhere'))
    cfg = digits_cfg(max_epochs=1)
    cfg.default_hooks.checkpoint.update(saving)
    Runner.from_cfg(Config(cfg.to_dict())).train()
    cfg.resume = True
    resume_from_complete_checkpoint(cfg)
    name = saving.get('filename_tmpl', 'epoch_{}.pth').format(1)
    assert Path(cfg.load_from).name == name and cfg.resume
    cfg.load_from = None
    cfg.default_hooks.checkpoint.out_dir = 's3://bucket'
    with pytest.raises(ValueError, match='cannot look for checkpoints'):
        resume_from_complete_checkpoint(cfg)
