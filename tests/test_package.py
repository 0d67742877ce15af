"""What `pip install` of a built wheel brings along."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

from .conftest import CONFIGS, ROOT

pytestmark = pytest.mark.slow


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
    assert not (installed / 'study').exists()
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


def stock(tool):
    """One of mmpretrain's own tools."""
    return str(Path(mmpretrain.__file__).parent / '.mim/tools' / tool)


ONE_EPOCH = 'train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)\n'
INHERITED = (
    "_base_ = 'mmghm::ghm_cwap/resnet8_digits_lt.py'\n"
    'train_cfg = dict(max_epochs=1, val_interval=1)\n'
)


def check_trained(folder):
    assert (folder / 'work_dirs/mine/epoch_1.pth').exists()
    (log,) = (folder / 'work_dirs/mine').glob('*/*.log')
    assert 'GHMCWAPLoss' in log.read_text()


def test_inherits_by_read_base(installed, tmp_path):
    """With mmpretrain's own tool and nothing of ours but the package."""
    (tmp_path / 'mine.py').write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from mmghm.configs.ghm_cwap.resnet8_digits_lt import *\n'
        'train_cfg.update(max_epochs=1, val_interval=1)\n'
    )
    run(installed, tmp_path, stock('train.py'), 'mine.py')
    check_trained(tmp_path)


def test_every_config_can_be_imported_by_read_base(
    installed, tmp_path, class_folders, monkeypatch
):
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    names = [
        str(path.relative_to(CONFIGS).with_suffix(''))
        for path in CONFIGS.glob('[a-z]*/*.py')
    ]
    code = (
        'import mmghm\n'
        'from mmengine.config import Config\n'
        f'for name in {names}:\n'
        "    module = name.replace('/', '.')\n"
        "    open('child.py', 'w').write('from mmengine.config import "
        "read_base\\nwith read_base():\\n    from mmghm.configs.' + module + "
        "' import *')\n"
        "    read = Config.fromfile('child.py')\n"
        f"    whole = Config.fromfile('{CONFIGS}/' + name + '.py')\n"
        '    assert read.to_dict() == whole.to_dict(), name\n'
    )
    run(installed, tmp_path, '-c', code)


@pytest.mark.parametrize('tool', ['ours', 'stock', 'mim'])
def test_inherits_by_name(installed, tmp_path, tool):
    """`mmghm::` needs the package imported before the config is read."""
    (tmp_path / 'mine.py').write_text(INHERITED)
    if tool == 'ours':
        command = ['-m', 'mmghm', 'train']
    elif tool == 'stock':
        code = (
            'import mmghm, runpy\n'
            f"runpy.run_path('{stock('train.py')}', run_name='__main__')"
        )
        command = ['-c', code]
    else:
        pytest.importorskip('mim')
        command = ['-m', 'mim', 'train', 'mmghm']
    run(installed, tmp_path, *command, 'mine.py')
    check_trained(tmp_path)


def test_the_hub_reads_the_metafiles(installed, tmp_path):
    name = 'balanced_softmax/resnet32_cifar10_lt_if100.py'
    code = (
        'import mmghm\n'
        'from mmengine.hub import get_config\n'
        f"print(get_config('mmghm::{name}', pretrained=True).model_path)"
    )
    weights = run(installed, tmp_path, '-c', code).split()[-1]
    assert (ROOT / weights).is_file()


def test_mim_lists_the_models(installed, tmp_path):
    pytest.importorskip('mim')
    listed = run(installed, tmp_path, '-m', 'mim', 'search', 'mmghm')
    found = re.findall(r'config id: (\S+)', listed)
    assert sorted(found) == sorted(p.name for p in ROOT.glob('zoo/*_*'))


THREE_LINES = """
custom_imports = dict(imports=['mmghm'])
model['head']['loss'] = dict(type='GHMCWAPLoss', num_classes=10)
custom_hooks = [dict(type='AURARebinHook')]
"""


def test_three_lines_change_the_loss_of_a_project(
    installed, tmp_path, class_folders
):
    """The project's own dataset, backbone and tool; the loss alone is ours."""
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    loader = dict(
        batch_size=8,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            type='CustomDataset',
            data_root=str(class_folders / 'train'),
            pipeline=pipeline,
        ),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    project = dict(
        default_scope='mmpretrain',
        env_cfg=dict(dist_cfg=dict(backend='nccl')),
        data_preprocessor=dict(num_classes=10, mean=[127.0], std=[60.0]),
        train_dataloader=loader,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        model=dict(
            type='ImageClassifier',
            backbone=dict(
                type='ResNet_CIFAR', depth=18, num_stages=4, style='pytorch'
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=10,
                in_channels=512,
                loss=dict(type='CrossEntropyLoss'),
            ),
        ),
    )
    lines = [f'{name} = {value!r}' for name, value in project.items()]
    text = '\n'.join(lines) + '\n' + ONE_EPOCH + THREE_LINES
    (tmp_path / 'mine.py').write_text(text.replace(', val_interval=1', ''))
    run(installed, tmp_path, stock('train.py'), 'mine.py')
    check_trained(tmp_path)


@pytest.mark.parametrize(
    'config',
    [
        'resnet/resnet18_8xb32_in1k.py',
        'convnext/convnext-tiny_32xb128_in1k.py',
    ],
)
def test_options_change_the_loss_of_a_stock_config(
    installed, tmp_path, class_folders, config
):
    """By `--cfg-options` alone; Mixup and EMA of the config stay."""
    configs = Path(mmpretrain.__file__).parent / '.mim/configs'
    loss = 'model.head.loss'
    # What makes a training of two small steps of it.
    images = sorted((class_folders / 'train').glob('*/*'))[::8]
    annotation = tmp_path / 'list.txt'
    annotation.write_text(
        ''.join(
            f'{path.relative_to(class_folders / "train")} {label}\n'
            for label, path in enumerate(images)
        )
    )
    data = 'train_dataloader.dataset'
    small = ['train_dataloader.batch_size=4', 'train_dataloader.num_workers=1']
    small += [f'{data}.data_root={class_folders}', 'train_cfg.max_epochs=1']
    small += [f'{data}.ann_file={annotation}']
    if 'resnet' not in config:
        small += ['param_scheduler.1.begin=0']
    done = run(
        installed,
        tmp_path,
        stock('train.py'),
        str(configs / config),
        *['--no-validate', '--work-dir', 'run', '--cfg-options', *small],
        f'{loss}._delete_=True',
        f'{loss}.type=mmghm.losses.GHMCWAPLoss',
        f'{loss}.num_classes=1000',
        'default_hooks.aura.type=mmghm.engine.AURARebinHook',
    )
    assert 'GHMCWAPLoss' in done and (tmp_path / 'run/epoch_1.pth').exists()


def test_an_editable_install_serves_its_configs(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmghm::ghm_cwap/resnet50_imagenet_lt.py'\n")
    assert Config.fromfile(str(path)).model.head.loss.type == 'GHMCWAPLoss'


def test_a_clone_in_the_folder_is_told(installed, tmp_path):
    """Above a clone an editable install is hidden by the clone's folder."""
    (tmp_path / 'mmghm').mkdir()
    # An editable install is found after what lies in the folder.
    (tmp_path / 'sitecustomize.py').write_text(
        'import sys\n'
        'from importlib.machinery import PathFinder\n'
        'class Editable:\n'
        '    @staticmethod\n'
        '    def find_spec(name, path=None, target=None):\n'
        "        if name.partition('.')[0] == 'mmghm':\n"
        f'            inside = [{str(installed / "mmghm")!r}]\n'
        f'            top = [{str(installed)!r}]\n'
        "            place = inside if '.' in name else top\n"
        '            if path is not None and len(list(path)) > 1:\n'
        '                return None\n'
        '            return PathFinder.find_spec(name, place)\n'
        'sys.meta_path.append(Editable)\n'
    )

    def module(*args):
        return subprocess.run(
            [sys.executable, '-m', 'mmghm', *args],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    told = module('train', 'ghm_cwap/resnet8_digits_lt')
    assert told.returncode == 2
    assert f'{tmp_path}/mmghm hides the installed package' in told.stdout
    examined = module('doctor')
    assert examined.returncode == 1
    assert f'{tmp_path}/mmghm hides the installed package' in ' '.join(
        examined.stdout.split()
    )
