"""The tools as a user calls them: in processes of their own."""

import json
import os
import subprocess
import sys

import pytest
import torch

from ..conftest import CONFIGS, ROOT, run_command

pytestmark = pytest.mark.slow

DIGITS = str(CONFIGS / 'ghm_cwap/resnet8_digits_lt.py')
SHORT = ['--cfg-options', 'train_cfg.max_epochs=4', 'train_cfg.val_interval=4']


def call(tool, *args, check=True, **env):
    command = [sys.executable] if tool.endswith('.py') else ['bash']
    # The shell tools call plain `python`.
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
    done = subprocess.run(
        [*command, str(ROOT / 'tools' / tool), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'PATH': path, **env},
        timeout=600,
    )
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done


def state(path):
    return torch.load(path)['state_dict']


def test_train_and_test(tmp_path):
    whole = tmp_path / 'whole'
    out = call('train.py', DIGITS, '--work-dir', whole, '--seed', 3, *SHORT)
    assert 'quartile' in out.stdout
    assert (whole / 'histograms.png').stat().st_size > 10_000

    metrics = tmp_path / 'metrics.json'
    out = call(
        'test.py',
        DIGITS,
        whole / 'epoch_4.pth',
        '--work-dir',
        tmp_path / 'test',
        '--out',
        metrics,
        '--out-item',
        'metrics',
    )
    assert 'Accuracy by class group' in out.stdout
    assert 0 < json.loads(metrics.read_text())['group/overall/top1'] <= 100


def test_distributed_training_on_cpu(tmp_path):
    args = [DIGITS, 2, '--work-dir', tmp_path, '--seed', 0, '--amp', *SHORT]
    out = call('dist_train.sh', *args)
    assert 'Accuracy by class group' in out.stdout
    saved = state(tmp_path / 'epoch_4.pth')
    assert saved['head.loss_module.finished_counts'].sum() == 482 * 2**20
    out = call(
        'dist_test.sh',
        DIGITS,
        tmp_path / 'epoch_4.pth',
        2,
        '--work-dir',
        tmp_path / 'test',
    )
    assert 'Accuracy by class group' in out.stdout


def test_shell_tools_explain_their_arguments():
    out = call('dist_train.sh', DIGITS, 'two', check=False)
    assert out.returncode == 2 and "got 'two'" in out.stdout
    out = call('slurm_train.sh', check=False)
    assert out.returncode == 2 and 'usage' in out.stdout


def test_posthoc(tmp_path):
    def run(*arguments, check=True):
        status, printed = run_command(*arguments, cwd=tmp_path)
        assert not check or status == 0, printed[-3000:]
        return status, printed

    name = 'softmax/resnet8_digits_lt'
    options = ('--cfg-options', 'train_dataloader.dataset.holdout=0.2')
    run(
        *('train', name, '--work-dir', '.', *options),
        *('train_cfg.max_epochs=12', 'train_cfg.val_interval=12'),
    )
    status, printed = run('posthoc', name, 'epoch_12.pth', check=False)
    assert status == 2 and 'holdout=0.2' in printed
    run('posthoc', name, 'epoch_12.pth', '--out', 'posthoc.json', *options)
    results = json.loads((tmp_path / 'posthoc.json').read_text())
    assert set(results) == {
        *('none', 'logit_adjustment', 'tau_norm', 'crt', 'lws', 'ncm')
    }
    # tau is one of the candidates; the head as it is equals a plain test.
    assert 0 <= results['tau_norm']['settings']['tau'] <= 1
    assert 0 <= results['logit_adjustment']['settings']['tau'] <= 3
    run(
        *('test', name, 'epoch_12.pth', '--work-dir', 'test'),
        *('--out', 'metrics.json', '--out-item', 'metrics'),
    )
    tested = json.loads((tmp_path / 'metrics.json').read_text())
    assert results['none']['accuracy']['overall'] == pytest.approx(
        tested['group/overall/top1']
    )
    plain = results['none']['accuracy']['macro']
    for method in ('crt', 'logit_adjustment'):
        assert results[method]['accuracy']['macro'] > plain
