"""What users get wrong is answered by one line and exit code 2."""

import errno
import os
import pty
import re
import select
import subprocess
import sys
import time
import urllib.request

import pytest
import torch

from mmghm.cli import COMMANDS
from mmghm.engine.configs import ConfigNotFoundError
from mmghm.utils.errors import one_line_errors
from mmghm.version import __version__

from ..conftest import ROOT, run_command

DIGITS = 'ghm_cwap/resnet8_digits_lt'
LOSS = 'model.head.loss'
NO_NETWORK = dict(
    http_proxy='http://127.0.0.1:9', https_proxy='http://127.0.0.1:9'
)


def call(*args, cwd, **env):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, '-m', 'mmghm', *map(str, args)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=200,
    )


def options(*pairs):
    return ('--cfg-options', *pairs)


MISTAKES = {
    'misspelt name': (
        ['ghm_cwpa/resnet8_digits_lt'],
        'no config ghm_cwpa/resnet8_digits_lt; did you mean '
        'ghm_cwap/resnet8_digits_lt?',
    ),
    'misspelt file': (
        ['configs/ghm_cwap/resnet8_digit_lt.py'],
        'did you mean ghm_cwap/resnet8_digits_lt?',
    ),
    'missing file': (['nowhere.py'], 'no config nowhere.py'),
    'broken file': (['broken.py'], 'cannot read the config broken.py: '),
    'class counts': (
        [DIGITS, *options('train_dataloader.dataset.class_counts=[9000,1]')],
        'class_counts',
    ),
    'different numbers': (
        [DIGITS, *options(f'{LOSS}.num_classes=12')],
        'numbers of classes differ: model.head.num_classes=10, '
        'model.head.loss.num_classes=12',
    ),
    'no classes': (
        [DIGITS, *options('model.head.num_classes=0')],
        'model.head.num_classes must be an integer of at least 1, got 0',
    ),
    'a word for a number': (
        [DIGITS, *options(f'{LOSS}.num_classes=ten')],
        "model.head.loss.num_classes must be an integer of at least 1, got 'ten'",
    ),
    'a wrong number in the loss': (
        [DIGITS, *options(f'{LOSS}.alpha=-1')],
        'alpha',
    ),
    'unknown loss': (
        [DIGITS, *options(f'{LOSS}.type=GHMCWAPLos')],
        'GHMCWAPLos is not in the',
    ),
    'unknown argument': (
        [DIGITS, *options('model.backbone.dpeth=8')],
        "unexpected keyword argument 'dpeth'",
    ),
    'work dir': (
        [DIGITS, '--work-dir', 'file/run'],
        'cannot write into the work dir file/run (Not a directory); choose '
        'another with --work-dir',
    ),
    'damaged checkpoint': (
        [DIGITS, '--resume', 'broken.pth'],
        'broken.pth is no complete checkpoint',
    ),
    'missing checkpoint': (
        [DIGITS, '--resume', 'none.pth'],
        'no checkpoint none.pth',
    ),
    'weights are no training': (
        [DIGITS, '--resume', 'weights.pth'],
        'weights.pth has no epoch, so that no training can go on from it',
    ),
    'no model': (['empty.py'], 'the config has no model'),
    'a word for a learning rate': (
        [DIGITS, *options('optim_wrapper.optimizer.lr=abc')],
        'optim_wrapper: ',
    ),
    'trust in nothing': (
        [DIGITS, '--trust-checkpoint'],
        '--trust-checkpoint trusts the one that --resume FILE or load_from',
    ),
    'nothing to resume, and no weights to begin with': (
        [DIGITS, '--resume', *options('load_from=missing.pth')],
        'missing.pth',
    ),
    'a base batch size that nobody gave': (
        ['plain.py', '--auto-scale-lr'],
        '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N)',
    ),
    'option without =': (
        [DIGITS, *options('train_cfg.max_epochs')],
        "--cfg-options takes key=value, got 'train_cfg.max_epochs'",
    ),
    'unknown top-level key': (
        [DIGITS, *options('trian_cfg.max_epochs=2')],
        "--cfg-options trian_cfg.max_epochs: no config has 'trian_cfg' at its "
        'top; did you mean train_cfg?',
    ),
    'CIFAR without a network': (
        ['ghm_cwap/resnet8_cifar10_lt'],
        'cannot download CIFAR10',
    ),
    'weights without a network': (
        [
            'own_data/fine_tuning',
            *options(
                'train_dataloader.num_workers=0',
                'backbone=resnet50_8xb32_in1k',
            ),
        ],
        'PRETRAINED=none begins with random weights',
    ),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory, class_folders):
    folder = tmp_path_factory.mktemp('mistakes')
    (folder / 'file').write_text('')
    (folder / 'broken.py').write_text('model = dict(\n')
    (folder / 'broken.pth').write_bytes(b'PK\x03\x04' + bytes(100))
    (folder / 'empty.py').write_text('x = 1\n')
    (folder / 'plain.py').write_text('model = dict()\noptim_wrapper = dict()\n')
    torch.save(dict(meta={}, state_dict={}), folder / 'weights.pth')
    (folder / 'data').mkdir()
    (folder / 'data/own').symlink_to(class_folders)
    return folder


@pytest.fixture
def fresh_opener():
    """What opens addresses keeps the proxies that it began with."""
    urllib.request.install_opener(None)
    yield
    urllib.request.install_opener(None)


@pytest.mark.usefixtures('fresh_opener')
@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_line_and_exit_code_2(mistake, place, tmp_path, monkeypatch):
    args, message = MISTAKES[mistake]
    for name in ('CIFAR10_FOLDER', 'PRETRAINED', 'DATA_ROOT'):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NO_NETWORK, 'TORCH_HOME': str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    if '--work-dir' not in args:
        args = [*args, '--work-dir', str(tmp_path / 'run')]
    status, printed = run_command('train', *args, cwd=place)
    assert status == 2, printed
    (line,) = re.findall('^mmghm train: .*', printed, flags=re.MULTILINE)
    assert message in line and 'Traceback' not in printed


def test_a_traceback_where_it_is_asked_for(tmp_path):
    with pytest.raises(ConfigNotFoundError):
        run_command('train', 'nothing/nowhere', '--debug', cwd=tmp_path)


@pytest.mark.slow
def test_what_is_no_mistake_shows_where_it_came_from(tmp_path):
    (tmp_path / 'defect.py').write_text(
        'from mmengine.hooks import Hook\n'
        'from mmengine.registry import HOOKS\n\n\n'
        '@HOOKS.register_module()\n'
        'class Defect(Hook):\n'
        '    def before_train(self, runner):\n'
        '        return [][0]\n'
    )
    (tmp_path / 'mine.py').write_text(
        f"_base_ = 'mmghm::{DIGITS}.py'\n"
        "custom_imports = dict(imports=['mmghm', 'defect'])\n"
        "custom_hooks = [*_base_.custom_hooks, dict(type='Defect')]\n"
    )
    done = call('train', 'mine.py', cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert 'Traceback' in done.stderr and 'return [][0]' in done.stderr


def test_a_refused_checkpoint_when_testing(tmp_path):
    (tmp_path / 'broken.pth').write_bytes(b'PK\x03\x04' + bytes(100))
    status, printed = run_command('test', DIGITS, 'broken.pth', cwd=tmp_path)
    assert status == 2
    assert 'mmghm test: broken.pth is no complete checkpoint' in printed


@pytest.mark.slow
def test_the_console_is_short_and_the_file_is_whole(tmp_path):
    done = call(
        'train',
        DIGITS,
        *options('train_cfg.max_epochs=2', 'env_cfg.cudnn_bench=True'),
        cwd=tmp_path,
    )
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert (
        '--cfg-options env_cfg.cudnn_bench: the config has no such setting, '
        'and perhaps nothing reads it; did you mean cudnn_benchmark?'
    ) in done.stderr
    before = shown[: shown.index('Epoch(train)')]
    assert before.count('\n') < 24, before
    for absent in ('MultiScale', 'NormalInit', 'Hooks will', 'FileClient'):
        assert absent not in shown
    validation = re.search(r'Epoch\(val\).*', shown)[0]
    assert re.fullmatch(
        r'Epoch\(val\) \[2\]\[3/3\]  overall [\d.]+  macro [\d.]+  worst class '
        r'[\d.]+  many [\d.]+  medium [\d.]+  few [\d.]+  rare [\d.]+',
        validation,
    )
    (log,) = (tmp_path / f'work_dirs/{DIGITS}').glob('*/*.log')
    whole = log.read_text()
    for part in ('System environment', 'Hooks will', 'group/kang/few/top1'):
        assert part in whole


@pytest.mark.slow
def test_a_terminal_shows_the_time_left(tmp_path):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmghm', 'train', DIGITS]
        + [
            *options(
                'train_cfg.max_epochs=3', 'default_hooks.logger.interval=9'
            )
        ],
        cwd=tmp_path,
        stdout=slave,
        stderr=slave,
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120'},
    )
    os.close(slave)
    shown, deadline = b'', time.time() + 200
    while time.time() < deadline:
        if select.select([master], [], [], 1)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
    assert process.wait(60) == 0
    text = re.sub(r'\x1b\[[\d;?]*[a-zA-Z]', '', shown.decode())
    assert re.search(r'epoch 3/3 .* left \d+:\d+:\d+', text), text[-3000:]
    assert 'overall' in text and 'Traceback' not in text


@pytest.mark.parametrize(
    'program', [['-m', 'mmghm'], [str(ROOT / 'tools/train.py')]]
)
def test_what_is_wrong_is_said_in_a_process_of_its_own(program, tmp_path):
    if 'mmghm' in program:
        program = [*program, 'train']
    done = subprocess.run(
        [sys.executable, *program, 'nothing/nowhere'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'mmghm train: no config nothing/nowhere' in done.stderr


def test_help_waits_for_nothing(tmp_path):
    # Packages that cannot be imported, in place of a clock.
    for name in ('torch', 'numpy', 'rich', 'mmengine'):
        (tmp_path / f'{name}.py').write_text('raise RuntimeError("imported")')

    def command(*args):
        return call(*args, cwd=tmp_path, PYTHONPATH=f'{tmp_path}:{ROOT}')

    shown = command('--help').stdout
    for name, what in COMMANDS.items():
        assert re.search(f'{name} +{what}', shown)
        help_of_it = command(name, '--help').stdout
        assert f'usage: mmghm {name} ' in help_of_it
        assert 'Example' in help_of_it
    assert 'reproduce' not in shown and 'plot' not in shown
    assert command('--version').stdout == f'mmghm {__version__}\n'
    wrong = command('trian')
    assert wrong.returncode == 2 and 'train' in wrong.stderr


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['x.json'], 'ends in .pkl, got --out x.json; for metrics add'),
        (['x.txt', '--out-item', 'metrics'], 'metrics go to a file that ends'),
        (
            ['x.pkl', '--prior', 'unifrom'],
            '--prior is one of uniform, train, estimate or a file, and there is '
            'no file unifrom',
        ),
    ],
)
def test_results_go_to_files_of_their_kind(options, said, tmp_path):
    args = ('test', DIGITS, 'none.pth', '--out', *options)
    code, output = run_command(*args, cwd=tmp_path)
    assert code == 2 and said in ' '.join(output.split())


def test_a_full_disk_says_what_to_do(capsys):
    with pytest.raises(SystemExit), one_line_errors('mmghm predict', False):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    said = (
        'mmghm predict: No space left on device: make room and run this again'
    )
    assert capsys.readouterr().err == f'{said}\n'
