"""The study of docs/evidence.md: its runs, tables and pictures."""

import copy
import json
import subprocess
import sys

import pytest

from study.evidence import (
    FINALISTS,
    NAMES,
    OLD_MARGIN,
    REGIMES,
    SETTINGS,
    has_weights,
    in_words,
    name_of,
    own_margin,
    regime_of,
)
from study.evidence_tables import (
    column_table,
    difference,
    draw_classes,
    read_runs,
    summary_table,
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

    pictures = tmp_path / 'shared/study/results/evidence'
    assert (pictures / 'validation_differences.png').stat().st_size > 5000
    table = (pictures / 'evidence.md').read_text()
    assert '## digits, held-out train images' in table
    assert "| `ghm_cwap`, the paper's method | 1 |" in table
    assert 'unknown' in table

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
        if setting.margin:
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
    assert {*FINALISTS} <= set(SETTINGS) == set(NAMES)


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
            'balanced margin, W from 30 % by the running histogram',
        ),
        ('margin_two_sided0.75', 'balanced margin, gamma 0.75'),
    ):
        name = name_of(dict(setting=older, method='-'), 1)
        assert name not in SETTINGS and in_words(name) == words
    # The same name, before and after.
    cell = dict(method='ghm_cwap')
    assert name_of(cell, 2) == 'late_two_sided1.0'
    assert name_of(cell, 3) == 'ghm_cwap'
    assert in_words('late_two_sided1.0').startswith('default of 0.1 and 0.2')
    assert has_weights('r_w') and has_weights('ghm_cwap_printed')
    assert not has_weights('margin_g0.8') and not has_weights('balanced_margin')


def runs(**overall):
    groups = {f'quartile/{g}': 50.0 for g in ('many', 'medium', 'few', 'rare')}
    return {
        setting: {s: dict(overall=v, **groups) for s, v in enumerate(values)}
        for setting, values in overall.items()
    }


def test_differences_are_paired_and_judged_by_their_spread():
    found = runs(margin=[40, 50, 60], up=[41, 51, 61.5], wild=[30, 60, 61])
    assert difference(found, 'up', 'margin').values == [1, 1, 1.5]
    assert difference(found, 'up', 'margin').verdict == 'gain'
    assert difference(found, 'margin', 'up').verdict == 'loss'
    assert difference(found, 'wild', 'margin').verdict == 'noise'
    two = copy.deepcopy(found)
    del two['up'][2]
    assert difference(two, 'up', 'margin').verdict == 'unknown'
    del two['up'][0], two['up'][1]
    assert difference(two, 'up', 'margin') is None
    assert own_margin('ghm_cwap') == 'ghm_cwap_margin'
    assert own_margin('ghm_cwap_balanced') == 'balanced_margin'
    # Of versions 0.1 and 0.2.
    assert own_margin('late_ura_two_sided') == 'balanced_margin'
    assert own_margin('late_two_sided1.0') == 'balanced_margin'
    assert own_margin('late_g1.2') == 'margin_g1.2'
    assert own_margin('late_max2') == own_margin('softmax') == OLD_MARGIN
    assert own_margin('r_w_mean') == 'ghm_cwap_margin'
    named = {'ghm_cwap_margin': found['margin'], 'ghm_cwap': found['up']}
    table = column_table(named)
    margin = "the paper's margin alone, eq. (2)"
    assert f'| {margin} | +1.17 ± 0.29 (3, gain) |' in table
    assert table.index('| `ghm_cwap`,') < table.index(f'| {margin} | 3')
    named['softmax'] = found['wild']
    summary = summary_table({('base', False): named, ('base', True): named})
    assert summary.count('\n') == 2
    assert '| +1.17 ± 0.29 (3, gain) |' in summary
    # A line for each margin with W, of today and of then.
    named['r_w'] = found['up']
    assert summary_table({('base', False): named}).count('\n') == 3


def test_classes_are_paired_by_size(tmp_path):
    tops = {
        'balanced_margin': [(50, 90), (52, 88), (54, 92)],
        'ghm_cwap_balanced': [(57, 88), (59, 86), (61, 90)],
    }
    for setting, seeds in tops.items():
        for seed, (rare, many) in enumerate(seeds):
            cell = dict(
                regime='base', setting=setting, seed=seed, validation=False
            )
            record = dict(
                cell=cell,
                last_epoch=dict(overall=70.0),
                per_class=[
                    {'class': 0, 'train_images': 5, 'top1': rare},
                    {'class': 1, 'train_images': 500, 'top1': many},
                ],
            )
            path = tmp_path / f'{setting}{seed}.json'
            path.write_text(json.dumps(record))
    columns = read_runs(tmp_path)
    figure = draw_classes(columns)
    axes = figure.axes[0]
    assert axes.get_title() == 'base'
    means = axes.get_lines()[0].get_ydata()
    # The larger class first.
    assert list(means) == [-2, 7]

    # Two pairs say nothing.
    (tmp_path / 'ghm_cwap_balanced2.json').unlink()
    assert draw_classes(read_runs(tmp_path)) is None


def test_the_interval_of_a_class_is_students():
    margins = [{'class/0': v} for v in (50.0, 50.0, 50.0)]
    weighted = [{'class/0': v} for v in (51.0, 52.0, 53.0)]
    found = {
        'balanced_margin': dict(enumerate(margins)),
        'ghm_cwap_balanced': dict(enumerate(weighted)),
    }
    axes = draw_classes({('base', False): found}).axes[0]
    ((low, high),) = axes.collections[0].get_segments()
    # scipy.stats.ttest_1samp([1, 2, 3], 0).confidence_interval()
    assert (low[1], high[1]) == pytest.approx((-0.484138, 4.484138))


def test_two_results_of_one_run_are_refused(tmp_path):
    cell = dict(regime='base', setting='softmax', seed=0, validation=True)
    for name in 'ab':
        record = dict(cell=cell, last_epoch=dict(overall=1.0), per_class=[])
        (tmp_path / f'{name}.json').write_text(json.dumps(record))
    with pytest.raises(ValueError, match='two results of softmax in base'):
        read_runs(tmp_path)
