"""What `pip install` of a built wheel brings along."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from .conftest import CONFIGS, ROOT


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """A folder with the unpacked wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp('wheel')
    copy = folder / 'source'
    ignored = (
        '.*',
        '__pycache__',
        'data',
        'results',
        'work_dirs',
        '*.egg-info',
    )
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*ignored))
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps']
        + ['--no-build-isolation', '-w', str(folder), str(copy)],
        check=True,
        timeout=300,
    )
    (wheel,) = folder.glob('mmghm-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'site')
    return folder / 'site'


def test_a_wheel_holds_all_configs_and_tools(installed):
    packed = installed / 'mmghm' / '.mim'
    for folder in (CONFIGS, ROOT / 'tools'):
        there = {
            str(path.relative_to(folder))
            for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
        }
        assert there == {
            str(path.relative_to(packed / folder.name))
            for path in (packed / folder.name).rglob('*')
            if path.is_file()
        }
    assert (packed / 'model-index.yml').is_file()


def test_trains_from_an_empty_folder(installed, tmp_path):
    done = subprocess.run(
        [sys.executable, str(installed / 'mmghm/.mim/tools/train.py')]
        + ['ghm_cwap/resnet8_digits_lt']
        + ['--cfg-options', 'train_cfg.max_epochs=1'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert os.listdir(tmp_path) == ['work_dirs']
