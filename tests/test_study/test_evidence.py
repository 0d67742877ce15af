"""The study of docs/results.md: its runs and their comparisons."""

import json
import subprocess
import sys

import pytest

from study.comparisons import (
    Pair,
    grid_table,
    paired,
    pairs_table,
    read_runs,
)
from study.evidence import (
    NAMES,
    REGIMES,
    SETTINGS,
    in_words,
    name_of,
    regime_of,
)
from study.plan import (
    evidence_experiment,
    experiment_config,
    plan_evidence,
    prefix,
)
from study.render import load_results

from ..conftest import ROOT

TOOL = [sys.executable, str(ROOT / 'study/reproduce.py'), 'evidence']


def reproduce(folder, *settings):
    folder.mkdir(exist_ok=True)
    command = [*TOOL, '--regimes', 'digits', '--validation', '--settings']
    done = subprocess.run(
        [*command, *settings],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        r['cell']['setting']: r
        for r in load_results(folder / 'study/results/evidence')
    }


@pytest.mark.slow
def test_going_on_from_the_margin_alone_changes_nothing(tmp_path):
    whole = reproduce(tmp_path / 'whole', 'ghm_cwap')
    shared = reproduce(tmp_path / 'shared', 'ghm_cwap_margin', 'ghm_cwap')
    assert whole['ghm_cwap']['epochs_timed'] == 40
    assert shared['ghm_cwap']['epochs_timed'] == 8
    for key in ('identity', 'last_epoch', 'per_class'):
        assert whole['ghm_cwap'][key] == shared['ghm_cwap'][key]
    assert shared['ghm_cwap'] != shared['ghm_cwap_margin']

    results = tmp_path / 'shared/study/results/evidence'
    table = (results / 'results.md').read_text()
    assert (
        ', experiment `digits`\n\n40 epochs, float32, held-out train' in table
    )
    assert "| `ghm_cwap`, the paper's method | 0 |" in table

    work = next(
        (tmp_path / 'shared/work_dirs/reproduce').glob('ghm_cwap_margin*')
    )
    subprocess.run(
        [
            sys.executable,
            str(ROOT / 'study/plot_weights.py'),
            str(work),
            *('--out', 'weights.png', '--json', 'weights.json'),
        ],
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    assert (tmp_path / 'weights.png').stat().st_size > 5000
    record = json.loads((tmp_path / 'weights.json').read_text())
    for group in record['epochs']['40'].values():
        assert sum(group['examples']) == pytest.approx(1)
        # What defines this scale.
        total = sum(group['weighted_gradient']['gradient'])
        assert total == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize('regime', REGIMES)
def test_every_regime_composes(regime):
    where = REGIMES[regime]
    for validation in {bool(where.held_out), False}:
        cfg = experiment_config(
            evidence_experiment(regime, 'ghm_cwap_balanced', 3, validation)
        )
        dataset = cfg.train_dataloader.dataset
        assert max(dataset.class_counts) == where.head
        assert dataset.seed == 3
        assert cfg.model.head.loss.gamma == 1.0
        held = cfg.val_dataloader.dataset.get('part') == 'holdout'
        assert held == validation


def test_a_shared_prefix_differs_in_nothing_that_acts_before():
    for name, setting in SETTINGS.items():
        experiment = evidence_experiment('base', name, 0, True)
        shared = prefix(experiment)
        if shared is None:
            assert not (setting.begin and setting.starts_from)
            continue
        other, epochs = shared
        assert 0 < epochs < 60
        ours, theirs = experiment_config(experiment), experiment_config(other)
        if name.startswith('ghm_cwap'):
            assert not theirs.model.head.loss.pop('intra_balance')
        else:
            # Options of class weights alone.
            for key in ('normalize', 'weighting', 'beta'):
                ours.model.head.loss.pop(key, None)
                theirs.model.head.loss.pop(key, None)
        ours.custom_hooks = theirs.custom_hooks = []
        assert ours.to_dict() == theirs.to_dict(), name


def test_controls_change_what_they_name():
    def config(setting):
        return experiment_config(
            evidence_experiment('cifar100_if100', setting, 0, False)
        )

    def begin(cfg):
        (hook,) = (h for h in cfg.custom_hooks if h.type == 'AURARebinHook')
        return hook.begin

    printed = config('ghm_cwap_printed')
    assert begin(printed) == 0 and printed.model.head.loss.normalize == 'none'
    slow = config('ghm_cwap_printed_lr0.01')
    assert slow.optim_wrapper.optimizer.lr == 0.01
    clipped = config('ghm_cwap_printed_clipped')
    assert clipped.optim_wrapper.clip_grad == dict(max_norm=1.0)
    for cfg in (slow, clipped):
        cfg.optim_wrapper = printed.optim_wrapper
        assert cfg.to_dict() == printed.to_dict()
    assert printed.optim_wrapper.optimizer.lr == 0.1
    assert 'clip_grad' not in printed.optim_wrapper
    for scale in ('regions', 'mean'):
        cfg = config(f'ghm_cwap_first_epoch_{scale}')
        assert begin(cfg) == 0 and cfg.model.head.loss.normalize == scale


def test_plan_runs_prefixes_first_and_refuses_unknown_names():
    names = ['ghm_cwap', 'ghm_cwap_margin']
    planned = plan_evidence(['base'], names, [0, 1], True)
    assert [e.setting for e in planned] == names[::-1] * 2
    with pytest.raises(ValueError, match='unknown regime nowhere; there are'):
        plan_evidence(['nowhere'], None, [0], True)
    with pytest.raises(ValueError, match='unknown setting nothing'):
        plan_evidence(None, ['nothing'], [0], True)
    assert set(SETTINGS) <= set(NAMES)


def test_names_of_older_results():
    """A name of today only for what computes the same today."""
    for older, today in (
        ('late_previous_two_sided', 'ghm_cwap_balanced'),
        ('r_w_previous', 'ghm_cwap'),
        ('margin_two_sided1.0', 'balanced_margin'),
        ('ghm_cwap_margin', 'ghm_cwap_margin'),
        ('softmax', 'softmax'),
    ):
        cell = dict(setting=older, method='-', regime='paper_if100')
        assert name_of(cell, 2) == today
        assert regime_of(cell) == 'cifar10_if100'
    running = 'W from 80 % by the running histogram'
    for older, words in (
        ('r_w', f"eq. (2)'s margin, {running}"),
        (
            'begin0.3_two_sided',
            'the margin of Balanced Softmax, W from 30 % by the running '
            'histogram',
        ),
        ('margin_two_sided0.75', 'the margin of Balanced Softmax, gamma 0.75'),
    ):
        name = name_of(dict(setting=older, method='-'), 1)
        assert name not in SETTINGS and in_words(name) == words
    # The same name, before and after.
    cell = dict(method='ghm_cwap')
    assert name_of(cell, 2) == 'late_two_sided1.0'
    assert name_of(cell, 3) == 'ghm_cwap'
    assert in_words('late_two_sided1.0') == (
        f'the margin of Balanced Softmax, {running}'
    )


def runs(**overall):
    return {
        setting: {s: dict(overall=v) for s, v in enumerate(values)}
        for setting, values in overall.items()
    }


def test_differences_are_paired_by_seed_and_corrected_for_their_number():
    found = runs(
        margin=[40, 50, 60],
        up=[41, 51.01, 61.02],
        wide=[41, 51.5, 60.5],
        wild=[30, 60, 61],
    )
    del found['wild'][0]
    assert paired(found, Pair('wild', 'margin')) == [10, 1]
    assert paired(found, Pair('wild', 'nothing')) == []
    # p is 3e-5, 0.074 and 0.44: of these one holds after Holm's correction.
    table = pairs_table(
        found, [Pair(name, 'margin') for name in ('up', 'wide', 'wild')]
    )
    up, wide, wild = table.splitlines()[2:5]
    assert '| +1.00, +1.01, +1.02 | +1.01 [+0.99, +1.03] | gain |' in up
    assert '| +1.00 [-0.24, +2.24] | tied |' in wide
    assert '| +10.00, +1.00 |' in wild and wild.endswith('| tied |')
    assert 'for the 3 comparisons' in table
    # Its interval excludes 0 by itself; of three comparisons it could be chance.
    found['near'] = {
        0: {'overall': 41},
        1: {'overall': 51.4},
        2: {'overall': 60.7},
    }
    (alone,) = pairs_table(found, [Pair('near', 'margin')]).splitlines()[2:3]
    assert alone.endswith('| gain |')
    both = pairs_table(found, [Pair('near', 'margin'), Pair('wild', 'margin')])
    assert both.splitlines()[2].endswith('| open |')
    assert '| loss |' in pairs_table(found, [Pair('margin', 'up')])
    # One pair of seeds has no interval, and no place in the table.
    found['wild'] = {0: {'overall': 70}}
    assert 'for the 0 comparisons' in pairs_table(
        found, [Pair('wild', 'margin')]
    )


def test_a_grid_corrects_for_all_its_cells():
    cells = {
        ('base', 'W'): [1.0, 1.01, 1.02],
        ('wide', 'W'): [0.5, 1.5, -0.2],
        ('base', 'softmax'): [1.0],
    }
    table = grid_table(cells, 'experiment', averaged=True)
    header, _, base, wide, averaged = table.splitlines()[:5]
    assert header == '| experiment | W |'
    assert base == '| base | +1.01 [+0.99, +1.03] (3, gain) |'
    assert wide.endswith('(3, tied) |')
    assert averaged == '| mean of the lines | +0.80 |'
    assert 'for the 2 comparisons' in table


def test_results_after_training_are_read_beside_those_as_trained(tmp_path):
    (tmp_path / 'after_training').mkdir()
    cell = dict(regime='base', setting='softmax', seed=0, validation=False)
    record = dict(
        cell=cell,
        last_epoch={'overall': 70.0, 'quartile/rare': 40.0},
        per_class=[
            {'class': 0, 'train_images': 5, 'top1': 50},
            {'class': 1, 'train_images': 500, 'top1': 90},
        ],
    )
    (tmp_path / 'a.json').write_text(json.dumps(record))
    after = dict(prior_corrected=dict(overall=78.0, rare=70.0, macro=1.0))
    (tmp_path / 'after_training/a.json').write_text(json.dumps(after))
    found = read_runs(tmp_path)['base', False]['softmax'][0]
    # The larger class first.
    assert (found['class/0'], found['class/1']) == (90, 50)
    assert found['prior_corrected'] == 78
    assert found['prior_corrected/quartile/rare'] == 70
    pair = Pair('softmax', 'softmax', 'prior_corrected', 'overall')
    assert paired({'softmax': {0: found}}, pair) == [8]


def test_two_results_of_one_run_are_refused(tmp_path):
    cell = dict(regime='base', setting='softmax', seed=0, validation=True)
    for name in 'ab':
        record = dict(cell=cell, last_epoch=dict(overall=1.0), per_class=[])
        (tmp_path / f'{name}.json').write_text(json.dumps(record))
    with pytest.raises(ValueError, match='two results of softmax in base'):
        read_runs(tmp_path)
