"""What `pip install` of a built wheel brings along."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

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


def run(installed, folder, *args):
    """Call Python in a folder, with the wheel in place of the sources."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_trains_from_an_empty_folder(installed, tmp_path):
    tool = str(installed / 'mmghm/.mim/tools/train.py')
    short = ['--cfg-options', 'train_cfg.max_epochs=1']
    run(installed, tmp_path, tool, 'ghm_cwap/resnet8_digits_lt', *short)
    assert os.listdir(tmp_path) == ['work_dirs']


@pytest.mark.parametrize(
    'config',
    [
        "_base_ = 'mmghm::ghm_cwap/resnet8_digits_lt.py'",
        # The project's own config; the loss alone is ours.
        "_base_ = 'mmghm::softmax/resnet8_digits_lt.py'\n"
        "custom_imports = dict(imports=['mmghm'])\n"
        "model = dict(head=dict(loss=dict(_delete_=True, type='GHMCWAPLoss', "
        'num_classes=10)))\n'
        "custom_hooks = [dict(type='AURARebinHook')]\n"
        "val_evaluator = dict(_delete_=True, type='Accuracy', topk=1)\n"
        'test_evaluator = val_evaluator',
    ],
)
@pytest.mark.parametrize('tool', ['ours', 'stock'])
def test_other_projects_inherit(installed, tmp_path, config, tool):
    (tmp_path / 'mine.py').write_text(
        f'{config}\ntrain_cfg = dict(max_epochs=1, val_interval=1)\n'
    )
    if tool == 'ours':
        command = [str(installed / 'mmghm/.mim/tools/train.py')]
    else:
        # mmpretrain's own tool; `mmghm::` needs the package imported first.
        train = Path(mmpretrain.__file__).parent / '.mim/tools/train.py'
        code = (
            f"import mmghm, runpy; runpy.run_path('{train}', {{}}, '__main__')"
        )
        command = ['-c', code]
    output = run(installed, tmp_path, *command, 'mine.py')
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').exists()
    assert 'GHMCWAPLoss' in output


def test_an_editable_install_serves_its_configs(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmghm::ghm_cwap/resnet50_imagenet_lt.py'\n")
    assert Config.fromfile(str(path)).model.head.loss.type == 'GHMCWAPLoss'
