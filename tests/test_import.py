"""What `import mmghm` brings, by what is installed beside it."""

import os
import subprocess
import sys

import pytest

from mmghm.utils.dependencies import OPTIONAL

from .conftest import ROOT, run_command

OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain')
# What OpenMMLab brings along, and what extras do.
BESIDE = ('cv2', 'matplotlib', 'packaging', 'rich', *OPTIONAL)


@pytest.fixture
def python(tmp_path):
    """Run Python where some modules are missing, and some are broken."""

    def run(*args, missing=(), broken=None):
        (tmp_path / 'sitecustomize.py').write_text(
            f'import sys\nsys.modules.update(dict.fromkeys({missing!r}))\n'
        )
        for name, code in (broken or {}).items():
            (tmp_path / name).mkdir()
            (tmp_path / name / '__init__.py').write_text(code)
        return subprocess.run(
            [sys.executable, *args],
            cwd=tmp_path,
            env={
                **os.environ,
                'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)]),
                'COLUMNS': '200',
            },
            capture_output=True,
            text=True,
        )

    return run


def told(done):
    """Lines of stderr, without what old releases say of each other."""
    return [
        line
        for line in done.stderr.splitlines()
        # A warning's second line is the source, indented.
        if 'DeprecationWarning: ' not in line and not line.startswith(' ')
    ]


def words(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOADED = """
import sys
print(*sorted({n.partition('.')[0] for n, m in sys.modules.items() if m}))
"""


def test_with_torch_alone(python):
    program = """
import torch
from mmghm import GHMCWAPLoss
from mmghm.losses import LogitAdjustedLoss
assert GHMCWAPLoss(num_classes=3).num_classes == 3
scores = torch.randn(4, 3, requires_grad=True)
loss = LogitAdjustedLoss(num_classes=3, class_counts=[5, 2, 1])
loss(scores, torch.tensor([0, 1, 2, 0])).backward()
assert scores.grad.abs().sum() > 0
"""
    done = python('-c', program + LOADED, missing=OPENMMLAB + BESIDE)
    assert not {*words(done)} & {*OPENMMLAB, *BESIDE}
    assert told(done) == []


REGISTERED = """
from mmengine import registry
from mmghm import losses
names = ['AURARebinHook', 'ClassCountsHook', 'EpochSeedHook', 'RunRecordHook']
assert all(registry.HOOKS.get(name) for name in names)
assert registry.METRICS.get('GroupAccuracy')
assert registry.METRICS.get('ClassScores')
assert registry.DATASETS.get('LongTailDataset')
assert registry.DATASETS.get('InMemoryDataset')
assert registry.PARAM_SCHEDULERS.get('WarmupCosineLR')
assert registry.OPTIM_WRAPPERS.get('BFloat16OptimWrapper')
from mmghm import AURARebinHook, ClassCountsHook, GroupAccuracy, LongTailDataset
# Bases have subclasses.
public = [getattr(losses, name) for name in losses.__all__]
classes = [c for c in public if isinstance(c, type) and not c.__subclasses__()]
root = list(registry.MODELS.module_dict.values())
assert len(classes) == 8 and all(root.count(c) == 1 for c in classes), root
registry.MODELS.build(dict(type='GHMCWAPLoss', num_classes=2))
"""


def test_with_mmengine(python):
    missing = ('mmcv', 'mmpretrain')
    done = python('-c', REGISTERED + LOADED, missing=missing)
    assert not {*words(done)} & {*missing}
    assert told(done) == []


def test_with_mmpretrain(python):
    program = """
from mmghm import CIFARResNet
from mmghm import datasets, models
from mmghm import registry as ours
from mmpretrain.registry import DATASETS, MODELS
assert MODELS.get('CIFARResNet') is ours.MODELS.get('CIFARResNet') is CIFARResNet
assert MODELS.get('GHMCWAPLoss') is ours.MODELS.get('GHMCWAPLoss')
assert ours.MODELS.scope == ours.HOOKS.scope == 'mmghm'
assert DATASETS.get('Digits') is datasets.Digits
assert models.NormedLinearClsHead and models.BatchDataPreprocessor
"""
    done = python('-c', REGISTERED + program, missing=tuple(OPTIONAL))
    assert words(done) == []
    assert told(done) == []


def test_with_an_mmpretrain_that_cannot_be_imported(python):
    reason = 'RuntimeError: no symbol'
    broken = {'mmpretrain': "raise RuntimeError('see above:\\nno symbol')"}
    done = python('-c', REGISTERED, broken=broken)
    assert words(done) == []
    (line,) = told(done)
    assert reason in line and '`mmghm doctor`' in line


def test_with_an_mmengine_that_cannot_be_imported(python):
    program = 'from mmghm import GHMCWAPLoss'
    done = python('-c', program, broken={'mmengine': 'import pkg_resourcez'})
    assert words(done) == []
    (line,) = told(done)
    assert "No module named 'pkg_resourcez'" in line
    assert '`mmghm doctor`' in line


def test_errors_of_its_own_modules_are_raised(python):
    module = 'mmghm.models.heads.normed_linear_head'
    done = python('-c', 'import mmghm', missing=(module,))
    assert done.returncode == 1
    assert f'ModuleNotFoundError: import of {module} halted' in done.stderr


TRAIN = ('ghm_cwap/resnet8_digits_lt',)


def refusal(done):
    assert done.returncode == 2
    (line,) = told(done)
    return line


def test_a_tool_names_the_package_that_is_missing(python):
    line = refusal(python('-m', 'mmghm', 'train', *TRAIN, missing=OPENMMLAB))
    assert line.startswith('mmghm train: ')
    assert 'mmpretrain' in line and 'extra `lite`' in line


@pytest.mark.parametrize(
    'package, command',
    [
        ('sklearn', ['train', *TRAIN]),
        ('pyarrow', ['train', 'own_data/fine_tuning']),
        ('plotly', ['report', 'run']),
    ],
)
def test_a_command_names_the_extra_that_is_missing(
    package, command, tmp_path, monkeypatch
):
    loaded = [n for n in sys.modules if n.partition('.')[0] == package]
    for name in loaded:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    (tmp_path / 'train.csv').write_text('path,label\na.png,cat\n')
    (tmp_path / 'run/record').mkdir(parents=True)
    (tmp_path / 'run/record/run.json').write_text('{}')
    (tmp_path / 'run/config.py').write_text('')
    status, printed = run_command(*command, cwd=tmp_path)
    assert status == 2, printed
    line = printed.splitlines()[-1]
    assert line.startswith(f'mmghm {command[0]}: {package} is missing, for ')
    assert f'extra `{OPTIONAL[package].extra}`' in line


def test_the_doctor_needs_python_alone(python):
    missing = ('torch', 'numpy', *OPENMMLAB, *BESIDE)
    done = python('-m', 'mmghm', 'doctor', missing=missing)
    assert done.returncode == 1 and done.stderr == ''
    for name in ('torch', *OPENMMLAB):
        assert f'{name} is missing' in done.stdout


def test_a_tool_names_the_package_that_cannot_be_imported(python):
    broken = {'mmpretrain': "raise AssertionError('MMCV==2.2.0')"}
    line = refusal(python('-m', 'mmghm', 'train', *TRAIN, broken=broken))
    assert 'AssertionError: MMCV==2.2.0' in line
    assert '`mmghm doctor`' in line


PROGRAM = """
from multiprocessing import get_context

from mmghm.cli import main

def names():
    import mmghm
    return sorted(vars(mmghm))

if __name__ == '__main__':
    import mmghm
    print('GHMCWAPLoss' in vars(mmghm))
    for kind in ('spawn', 'forkserver'):
        with get_context(kind).Pool(1) as pool:
            print('GHMCWAPLoss' in pool.apply(names))
"""


def test_processes_of_the_command_line_register_everything(python, tmp_path):
    # As pip's program of this name.
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin/mmghm').write_text(PROGRAM)
    done = python(str(tmp_path / 'bin/mmghm'))
    assert words(done) == ['False', 'True', 'True']


def test_help_needs_nothing(python):
    for command in (('--help',), ('train', '--help')):
        done = python('-m', 'mmghm', *command, missing=('torch', *OPENMMLAB))
        assert 'usage: ' in done.stdout and done.returncode == 0
