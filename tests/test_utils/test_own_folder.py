"""Folders that several processes make at once."""

from pathlib import Path

import pytest

from mmghm.utils.own_folder import own_folder


@pytest.mark.parametrize('step', ['is_symlink', 'iterdir', 'exists', 'touch'])
@pytest.mark.parametrize('before', [True, False])
def test_another_process_marks_it_meanwhile(
    tmp_path, monkeypatch, step, before
):
    folder = tmp_path / 'cache'
    folder.mkdir()
    take_step = getattr(Path, step)

    def interrupted(path, *args, **kwargs):
        if not before:
            # All of it, before the other process has its turn.
            seen = take_step(path, *args, **kwargs)
            seen = iter(list(seen)) if step == 'iterdir' else seen
        with monkeypatch.context() as other:
            other.setattr(Path, step, take_step)
            (folder / '.mmghm-cache').touch()
            (folder / 'a.pt.lock').touch()
        return take_step(path, *args, **kwargs) if before else seen

    monkeypatch.setattr(Path, step, interrupted)
    assert own_folder(tmp_path, 'cache') == folder


def test_a_folder_that_others_could_write_is_not_used(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'cache').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(PermissionError, match='is a link'):
        own_folder(tmp_path, 'cache')
    (tmp_path / 'cache').unlink()
    (tmp_path / 'cache').mkdir(mode=0o777)
    (tmp_path / 'cache/mine.txt').write_text('')
    with pytest.raises(FileExistsError, match='did not write'):
        own_folder(tmp_path, 'cache')
    (tmp_path / 'cache/mine.txt').unlink()
    folder = own_folder(tmp_path, 'cache')
    assert oct(folder.stat().st_mode)[-3:] == '700'
