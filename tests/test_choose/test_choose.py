"""``choose`` from start to end on the digits, and what comes after it."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
from functools import partial
from unittest import mock

import numpy as np
import pytest

from ..conftest import run_command, run_program

SMALL = [
    *('softmax/resnet8_digits_lt', '--seeds', '2', '--out', 'choice'),
    *('--methods', 'ghm_cwap', '--cfg-options', 'train_cfg.max_epochs=4'),
]


# Classifiers of these losses suffice here.
LOSSES = ('softmax', 'seesaw', 'ldam_drw')
PROGRAM = f"""
import sys
from mmghm.choose import run
from mmghm.cli import main
run.LOSSES = {LOSSES}
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True, scope='module')
def few_losses():
    with mock.patch('mmghm.choose.run.LOSSES', LOSSES):
        yield


def read_answer(folder):
    found = json.loads((folder / 'choice' / 'choice.json').read_text())
    # How long it took is another each time.
    del found['seconds'], found['notes']
    return found


@pytest.fixture(scope='module')
def chosen(tmp_path_factory):
    folder = tmp_path_factory.mktemp('chosen')
    code, output = run_command('choose', *SMALL, cwd=folder)
    assert code == 0, output
    return folder, output


@pytest.mark.slow
def test_the_answer(chosen):
    folder, output = chosen
    assert '386 to train on, 96 held out to evaluate on' in output
    assert '2 methods x 2 seeds = 4 runs, 0 of them done' in output
    found = read_answer(folder)
    methods = {row['method'] for row in found['rows']}
    assert {'softmax', 'ghm_cwap', 'crt', 'ncm'} < methods
    assert {'classifier:seesaw', 'classifier:ldam_drw'} < methods
    assert sum(found['held_out']) == 96
    assert found['sentence'] in output.replace('\n', ' ')
    assert found['too_small'] == ['6', '7', '8', '9']
    page = (folder / 'choice/choice.html').read_text()
    assert found['sentence'] in page and 'src="http' not in page
    # The figures are those of the predictions.
    (result,) = (folder / 'choice/results').glob('ghm_cwap_s0_*.npz')
    other = next((folder / 'choice/results').glob('ghm_cwap_s1_*.npz'))
    right = []
    for path in (result, other):
        with np.load(path) as of:
            right.append(of['predicted'] == of['labels'])
    (row,) = (r for r in found['rows'] if r['method'] == 'ghm_cwap')
    assert row['figures']['overall']['value'] == pytest.approx(
        100 * np.mean(right), abs=1e-3
    )


@pytest.mark.slow
def test_the_study_holds_it_against_test_images(chosen):
    folder, _ = chosen
    code, output = run_program(
        'study/check_choice.py',
        *('choice', '--name', 'digits', '--out', 'checked.json'),
        cwd=folder,
    )
    assert code == 0, output
    checked = json.loads((folder / 'checked.json').read_text())
    methods = {row['method'] for row in checked['rows']}
    assert {'crt', 'ghm_cwap', 'classifier:ldam_drw'} < methods


# Of a run that is interrupted again and again; the promise was tried with 20.
MOMENTS = int(os.environ.get('MMGHM_MOMENTS', 3))


@pytest.mark.slow
def test_an_interrupted_run_ends_like_an_uninterrupted_one(chosen, tmp_path):
    """A full disk, SIGTERM, SIGKILL: each time the command goes on."""
    folder, _ = chosen
    draw = random.Random(0)
    command = [sys.executable, '-c', PROGRAM, 'choose', *SMALL]
    largest = max(p.stat().st_size for p in folder.rglob('*.pth'))
    finished = 0
    for moment in range(MOMENTS):
        kind = ('full disk', 'SIGTERM', 'SIGKILL')[moment % 3]
        most = draw.randrange(1, largest) if kind == 'full disk' else None
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Of the processes that it starts as well.
            preexec_fn=most and partial(limit_files, most),
        )
        try:
            output, _ = process.communicate(
                timeout=None if most else draw.uniform(10, 40)
            )
        except subprocess.TimeoutExpired:
            process.send_signal(getattr(signal, kind))
            # What it started holds the pipe, and ends with it.
            output, _ = process.communicate(timeout=60)
        assert 'Traceback' not in output, (kind, output)
        left = len(list(tmp_path.glob('choice/results/[sg]*_s?_*.npz')))
        assert left >= finished, kind
        finished = left
    code, output = run_command('choose', *SMALL, cwd=tmp_path)
    assert code == 0, output
    assert read_answer(tmp_path) == read_answer(folder)
    # Nothing is left to do.
    code, output = run_command('choose', *SMALL, cwd=tmp_path)
    assert code == 0 and '4 runs, all of them done' in output, output
    assert read_answer(tmp_path) == read_answer(folder)


def limit_files(size):
    """No file of this process and its children grows beyond: a full disk."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.slow
def test_the_commands_train_on_everything(chosen):
    folder, output = chosen
    commands = read_answer(folder)['commands']
    assert commands[0] == 'mmghm train choice/chosen.py'
    code, output = run_command(
        *('train', 'choice/chosen.py', '--work-dir', 'run'), cwd=folder
    )
    assert code == 0 and 'Train set: 482 images' in output, output


@pytest.mark.slow
@pytest.mark.parametrize(
    'made',
    ['tau_norm', 'crt', 'ldam'],
)
def test_a_classifier_made_anew_is_kept(chosen, made):
    folder, _ = chosen
    if not (folder / 'base/epoch_4.pth').exists():
        code, output = run_command(
            *('train', SMALL[0], '--work-dir', 'base', *SMALL[-2:]),
            cwd=folder,
        )
        assert code == 0, output
    kind = '--losses' if made in ('ghm_cwap', 'ldam') else '--methods'
    wanted = ['--methods', kind, made] if kind == '--losses' else [kind, made]
    if made in ('tau_norm', 'logit_adjustment'):
        wanted += ['--tau', '0.5']
    code, output = run_command(
        *('posthoc', SMALL[0], 'base/epoch_4.pth', *wanted),
        *('--save', f'{made}.pth', *SMALL[-2:]),
        cwd=folder,
    )
    assert code == 0 and f'Wrote {made}.pth' in output, output
    said = re.findall(r'overall\D+\d+\D+([\d.]+)', output)[-1]
    cfg = f'{made}.py' if kind == '--losses' else SMALL[0]
    code, output = run_command(
        *('test', cfg, f'{made}.pth', '--work-dir', f'test_{made}'),
        cwd=folder,
    )
    assert code == 0, output
    assert re.findall(r'overall\D+\d+\D+([\d.]+)', output)[-1] == said
    if kind == '--methods':
        # What softmax's loss states is not true of it any more.
        code, output = run_command(
            *('test', cfg, f'{made}.pth', '--prior', 'uniform'),
            *('--work-dir', f'prior_{made}'),
            cwd=folder,
        )
        assert code == 2 and 'fitted again after training' in output, output


@pytest.mark.slow
def test_a_failed_method_is_left_out(tmp_path):
    args = [
        *('softmax/resnet8_digits_lt', '--seeds', '1', '--out', 'choice'),
        *('--methods', 'seesaw', '--cfg-options', 'train_cfg.max_epochs=2'),
    ]
    code, output = run_command('choose', *args, '--dry-run', cwd=tmp_path)
    assert code == 0 and '0 of them done' in output, output
    assert not (tmp_path / 'choice/results').exists()
    # A folder where the first checkpoint of seesaw is to be.
    from mmghm.choose.plan import Plan
    from mmghm.choose.run import look_at
    from mmghm.engine.configs import load_config
    from mmghm.utils.options import merge_options
    from mmghm.utils.text import TextConsole

    cfg = load_config(args[0])
    merge_options(cfg, args[-1:])
    plan = Plan(cfg, ('softmax', 'seesaw'), 1, 0.2, False, tmp_path / 'choice')
    plan = look_at(plan, 'macro', TextConsole())[-1]
    # Of 386 images two are left in the last batch.
    assert plan.cfg.train_dataloader.drop_last
    (plan.trial('seesaw', 0).work_dir / 'epoch_1.pth').mkdir(parents=True)
    # And one where the classifiers on features are to print.
    (plan.posthoc(0).work_dir / 'output.log').mkdir(parents=True)
    code, output = run_command('choose', *args, cwd=tmp_path)
    said = (
        'Left out, for they failed: seesaw seed 0, post-hoc classifiers, seed 0'
    )
    assert code == 1, output
    assert said in (tmp_path / 'choice/choice.html').read_text()
    methods = {row['method'] for row in read_answer(tmp_path)['rows']}
    assert 'classifier:seesaw' in methods
    assert not {'seesaw', 'crt'} & methods


def test_mistakes(tmp_path):
    for args, message in (
        (
            ['--holdout', '2'],
            '--holdout takes a fraction between 0 and 1, got 2',
        ),
        (
            ['--budget', 'soon'],
            "takes a duration such as 45m or 3h, got 'soon'",
        ),
        (['--metric', 'rare'], "group:rare, got 'rare'"),
        (['--seeds', '0'], '--seeds and --jobs must be at least 1'),
    ):
        code, output = run_command('choose', *SMALL[:5], *args, cwd=tmp_path)
        assert code == 2 and message in output, output
    code, output = run_command(
        *('choose', *SMALL[:5], '--methods', 'ghm_cwpa'), cwd=tmp_path
    )
    assert code == 2 and 'did you mean ghm_cwap?' in output, output
    for args, message in (
        (['--save', 'a.pth'], '--save takes one method or one loss'),
        (
            ['--save', 'a.pth', '--methods', 'none'],
            '--save writes a new classifier, which none does not make',
        ),
    ):
        code, output = run_command(
            'posthoc', SMALL[0], 'none.pth', *args, cwd=tmp_path
        )
        assert code == 2 and message in output, output
