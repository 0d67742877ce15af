import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmghm.engine.configs import compose, configs_folder
from mmghm.engine.work_dir import default_work_dir, own_work_dir
from mmghm.utils.errors import UserError

from ..conftest import run_command


def enter(*args, **options):
    with own_work_dir(*args, **options):
        pass


def test_methods_do_not_share_a_folder():
    folders = set()
    for method in ('ghm_cwap', 'softmax'):
        file = compose(method, 'resnet8_digits_lt').filename
        folders.add(default_work_dir(file, configs_folder()))
    assert folders == {
        'work_dirs/ghm_cwap/resnet8_digits_lt',
        'work_dirs/softmax/resnet8_digits_lt',
    }
    own = default_work_dir('a/b/mine.py', configs_folder())
    assert own == 'work_dirs/mine'


def test_another_runs_record_is_not_trained_over(tmp_path):
    record = tmp_path / 'record/run.json'
    record.parent.mkdir()
    record.write_text('{}')
    with pytest.raises(UserError, match=r'another run.*--resume.*--work-dir'):
        enter(tmp_path, resume=False)
    enter(tmp_path, resume=True)
    record.unlink()
    enter(tmp_path, resume=False)


HOLD = """
import sys, time
from mmghm.engine.work_dir import own_work_dir
with own_work_dir(sys.argv[1], resume=False):
    print('held', flush=True)
    time.sleep(600)
"""


def test_a_folder_belongs_to_one_process_while_it_lives(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b'held\n'
        message = f'still alive.*process {holder.pid} on'
        with pytest.raises(UserError, match=message):
            enter(tmp_path, resume=True)
        # Other ranks do not ask.
        enter(tmp_path, resume=True, is_main=False)
    finally:
        # Without warning.
        holder.kill()
        holder.wait()
    deadline = time.time() + 10
    while True:
        try:
            enter(tmp_path, resume=True)
            break
        except UserError:
            assert time.time() < deadline
    assert Path(tmp_path, '.owner').exists()


def test_a_clones_configs_are_named_like_the_installed_ones(tmp_path):
    """README's command runs the clone's file by the installed package."""

    def found(name):
        file = str(tmp_path / 'configs' / name)
        return default_work_dir(file, configs_folder())

    ours = found('ghm_cwap/resnet8_digits_lt.py')
    assert ours == 'work_dirs/ghm_cwap/resnet8_digits_lt'
    assert found('ghm_cwap/mine.py') == 'work_dirs/mine'


def test_without_a_launcher_every_process_is_a_run(tmp_path, monkeypatch):
    """As tasks that Slurm starts side by side."""
    (tmp_path / 'record').mkdir()
    (tmp_path / 'record/run.json').write_text('{}')
    monkeypatch.setenv('SLURM_PROCID', '1')
    code, output = run_command(
        *('train', 'softmax/resnet8_digits_lt', '--work-dir', str(tmp_path)),
        cwd=tmp_path,
    )
    assert code == 2 and 'another run' in output, output
