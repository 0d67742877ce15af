import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope

from mmghm.engine.configs import method_names
from mmghm.utils.errors import UserError
from study.plan import (
    ABLATIONS,
    EXTRA_METHODS,
    PAPER_METHODS,
    TABLES,
    Experiment,
    evidence_experiment,
    experiment_config,
    plan_table,
    shorten,
)
from study.render import (
    PUBLISHED,
    covers,
    load_results,
    render_markdown,
)
from study.reproduce import main, parse_args
from study.result_version import VERSION
from study.run import calibration_error
from study.run_id import (
    config_hash,
    data_hash,
    result_path,
    run_id,
)

from ..conftest import ROOT

TOOL = [sys.executable, str(ROOT / 'study/reproduce.py'), 'table1']
RESULTS = 'study/results'
TITLE = '## CIFAR-10, ResNet-32, imbalance factor 100'
QUICK = ['--scale', 'quick', '--epochs', '3', '--methods', 'softmax', 'seesaw']


def start(folder, *args):
    return subprocess.Popen(
        [*TOOL, *QUICK, *args],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder, *args):
    process = start(folder, *args)
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


def accuracies(folder):
    return {
        (r['cell']['method'], r['cell']['seed']): (
            r['last_epoch'],
            r['per_class'],
            r['calibration_error'],
        )
        for r in load_results(folder / RESULTS)
    }


@pytest.mark.slow
def test_a_killed_grid_ends_like_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    whole.mkdir(), killed.mkdir()
    code, output = finish(whole)
    assert code == 0 and '2 to run' in output, output

    # Killed in the middle of the second run.
    process = start(killed)
    deadline = time.time() + 300
    work = killed / 'work_dirs' / 'reproduce'
    while not list(work.glob('seesaw*/epoch_1.pth')):
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(load_results(killed / RESULTS)) == 1
    # And between the last checkpoint and the result.
    next((killed / RESULTS).glob('softmax*.json')).unlink()
    code, output = finish(killed)
    assert code == 0 and '2 to run' in output, output
    assert accuracies(killed) == accuracies(whole)
    code, output = finish(killed)
    assert code == 0 and '0 to run' in output and '2 done' in output
    page = (killed / RESULTS / 'results.md').read_text()
    assert '| Seesaw | 0 |' in page


@pytest.mark.slow
def test_a_failed_run_does_not_stop_the_others(tmp_path):
    first, *_ = plan_table('table1', 'quick', methods=['softmax'], epochs=3)
    stem = result_path(tmp_path, first, run_id(first)).stem
    work = tmp_path / 'work_dirs' / 'reproduce' / stem
    # A folder where the first checkpoint is to be.
    (work / 'epoch_1.pth').mkdir(parents=True)
    code, output = finish(tmp_path)
    assert code == 1 and '1 of 2 runs failed' in output, output
    methods = [r['cell']['method'] for r in load_results(tmp_path / RESULTS)]
    assert methods == ['seesaw']


@pytest.mark.slow
def test_two_at_a_time_by_whole_batches(tmp_path):
    code, output = finish(tmp_path, '--decoded', '--jobs', '2')
    assert code == 0 and '0 of 2 runs failed' in output, output
    results = load_results(tmp_path / RESULTS)
    assert [r['cell']['task'] for r in results] == [
        'resnet8_digits_lt_decoded'
    ] * 2
    # Both had begun before either was done.
    logs = list((tmp_path / 'work_dirs').rglob('output.log'))
    ends = list((tmp_path / RESULTS).glob('*.json'))
    assert len(logs) == len(ends) == 2
    assert max(os.stat(log.parent / 'lock').st_mtime for log in logs) < min(
        os.stat(end).st_mtime for end in ends
    )
    code, output = finish(tmp_path, '--jobs', '0')
    assert code == 2 and '--jobs must be at least 1' in output


@pytest.mark.slow
def test_runs_on_a_cluster(tmp_path):
    pytest.importorskip('submitit', reason='submitit is an extra')
    code, output = finish(tmp_path, '--cluster', 'local')
    assert code == 0 and '0 of 2 runs failed' in output, output
    assert len(load_results(tmp_path / RESULTS)) == 2


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys):
    """What a dry run prints, in a folder that stays empty."""

    def plan(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['reproduce.py', 'table1', *args])
        assert main(parse_args()) == 0
        assert not any(tmp_path.iterdir())
        return capsys.readouterr().out

    return plan


def test_dry_run_and_bad_names(planned):
    assert '2 to run' in planned(*QUICK, '--dry-run')
    with pytest.raises(UserError, match='has the datasets digits'):
        planned(*QUICK, '--datasets', 'cifar10')


def test_the_tables_have_all_their_experiments():
    tables = {name: plan_table(name) for name in TABLES}
    assert {name: len(found) for name, found in tables.items()} == dict(
        table1=8 * 3 * 4, table2=6 * 2, table3=5
    )
    for experiment in {e.name: e for t in tables.values() for e in t}.values():
        dataset = experiment_config(experiment).train_dataloader.dataset
        assert experiment.imbalance_factor in (
            None,
            dataset.get('imbalance_factor'),
        )


def test_run_ids_follow_settings_and_seed():
    experiment = Experiment('softmax', 'resnet8_digits_lt', 20, 0)
    base = run_id(experiment)
    assert run_id(experiment) == base
    others = [
        Experiment('seesaw', 'resnet8_digits_lt', 20, 0),
        Experiment('softmax', 'resnet8_digits_lt', 10, 0),
        Experiment('softmax', 'resnet8_digits_lt', 20, 1),
        Experiment('softmax', 'resnet8_digits_lt', 20, 0, epochs=3),
    ]
    hashes = [run_id(other)['config_sha256'] for other in others]
    assert len({base['config_sha256'], *hashes}) == 5


def test_settings_that_only_show_do_not_count():
    cfg = experiment_config(Experiment('ghm_cwap', 'resnet8_digits_lt', 20, 0))
    before = config_hash(cfg)
    cfg.default_hooks.logger.interval = 7
    cfg.work_dir = 'elsewhere'
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if hook.type != 'RunRecordHook'
    ]
    assert config_hash(cfg) == before
    cfg.custom_hooks = [
        hook for hook in cfg.custom_hooks if hook.type != 'AURARebinHook'
    ]
    assert config_hash(cfg) != before


def test_data_hash_follows_the_images():
    def of(factor):
        cfg = experiment_config(
            Experiment('softmax', 'resnet8_digits_lt', factor, 0)
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return data_hash(DATASETS.build(cfg.train_dataloader.dataset))

    assert of(20) == of(20) != of(10)


def test_plans_without_data_or_network(planned, monkeypatch):
    """CIFAR is neither there nor can it be downloaded."""
    monkeypatch.delenv('CIFAR10_FOLDER', raising=False)
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')
    monkeypatch.setenv('https_proxy', '')
    options = ['--datasets', 'cifar10', '--imbalance', '100', '--dry-run']
    assert '8 to run' in planned(*options)


def test_config_hash_ignores_folders(monkeypatch, tmp_path):
    experiment = Experiment('softmax', 'resnet32_cifar10_lt', 100, 0)
    hashes = []
    for name in 'ab':
        monkeypatch.setenv('CIFAR10_FOLDER', str(tmp_path / name))
        hashes.append(config_hash(experiment_config(experiment)))
    assert hashes[0] == hashes[1]


def test_shortened_run():
    cfg = experiment_config(
        Experiment('softmax', 'resnet32_cifar10_lt', 100, 0)
    )
    shorten(cfg, 40)
    assert cfg.train_cfg.max_epochs == 40
    assert cfg.train_cfg.val_interval == 20


def test_published_tables_are_the_papers():
    by_key = {
        (r['table'], r['method'], r['task'], r['imbalance_factor']): r
        for r in PUBLISHED
        if 'GHM-CWAP' in r['source']
    }
    assert len(by_key) == 96 + 12 + 5
    cell = by_key['table1', 'ghm_cwap', 'resnet32_cifar10_lt', 100]
    assert cell['overall'] == 75.39
    # Beside the paper's rows and nothing of ours.
    named = {row['method'] for row in by_key.values()}
    assert named == {*PAPER_METHODS, *ABLATIONS}
    assert {*PAPER_METHODS, *EXTRA_METHODS, *ABLATIONS} == set(method_names())
    # The overall of ImageNet-LT is the plain mean of its four quarters.
    for (_, _, task, _), row in by_key.items():
        if task == 'resnet50_imagenet_lt':
            mean = sum(row['groups'].values()) / 4
            assert row['overall'] == pytest.approx(mean, abs=0.011)


def result(
    method,
    seed,
    overall,
    epochs=200,
    task='resnet32_cifar10_lt',
    mathematics=VERSION,
):
    groups = dict.fromkeys(
        ('quartile/many', 'quartile/medium', 'quartile/few', 'quartile/rare'),
        overall,
    )
    return dict(
        cell=dict(
            method=method,
            task=task,
            imbalance_factor=100,
            seed=seed,
            epochs=None,
            amp=False,
        ),
        identity=dict(data_sha256='d' * 64),
        mathematics=mathematics,
        last_epoch=dict(overall=overall, worst_class=1.0, **groups),
        epochs=epochs,
        epochs_timed=epochs,
        wall_seconds=1.0,
        hardware='<b>cpu',
        versions=dict(torch='2'),
    )


def test_results_that_would_change_stand_apart():
    results = [
        result('ghm_cwap', 0, 76.0),
        result('softmax', 0, 71.0, mathematics=1),
        result('ldam_drw', 0, 72.0, mathematics=1),
    ]
    current, stale = render_markdown(results).split(TITLE)[1:]
    assert 'Stale' not in current and 'ghm_cwap' in current
    assert 'Stale' in stale and "LDAM's classifier" in stale
    assert '| LDAM-DRW | 0 |' in stale and '| softmax cross-entropy |' in stale
    # It covers no cell of the paper's tables.
    assert 'resnet32_cifar10_lt_if100: softmax' in stale


def test_results_that_would_not_change_stand_together():
    results = [
        result('ghm_cwap', 0, 76.0, task='resnet8_digits_lt'),
        result('softmax', 0, 71.0, task='resnet8_digits_lt', mathematics=1),
    ]
    page = render_markdown(results)
    assert page.count('## digits, ResNet-8') == 1
    assert '| `ghm_cwap`, ' in page and '| softmax cross-entropy |' in page


def test_older_results_under_a_name_of_today_are_shown_in_words():
    results = [
        result('ghm_cwap', 0, 76.0, mathematics=2),
        result('ghm_cwap_one_sided', 0, 75.0, mathematics=2),
        result('ghm_cwap_printed', 0, 10.0, mathematics=2),
        result('ghm_cwap_ura', 0, 9.0, mathematics=2),
        result('ghm_cwap', 0, 74.0),
    ]
    page, stale = render_markdown(results).split(' Stale')
    running = 'W from 80 % by the running histogram'
    assert f'| the margin of Balanced Softmax, {running} | 0 |' in page
    assert f"| eq. (2)'s margin, {running} | 0 |" in page
    assert "| `ghm_cwap`, the paper's method | 0 | -2.00 | 75.39 |" in page
    assert '| `ghm_cwap_printed`, nothing changed | 0 |' in page
    # The paper's figure stands in one row alone.
    assert page.count('75.39') == 1
    # The same name and another histogram.
    assert "the running epoch's." in stale and '| `ghm_cwap_ura`' in stale


def rows_of(page):
    """Cells of each line of the tables by the first."""
    lines = [line for line in page.splitlines() if line.startswith('| ')]
    cells = [line.strip('| ').split(' | ') for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_a_run_is_not_repeated_under_its_new_name():
    (older,) = (
        r
        for r in load_results(ROOT / 'study/results/full')
        if r['cell']['setting'] == 'r_w_previous'
    )
    today = evidence_experiment('cifar10_if100', 'ghm_cwap', 0, False)
    assert covers(older, today)
    others = [
        evidence_experiment('cifar10_if100', 'ghm_cwap', 1, False),
        evidence_experiment('cifar10_if500', 'ghm_cwap', 0, False),
        evidence_experiment('cifar10_if100', 'ghm_cwap_ura', 0, False),
        evidence_experiment('cifar10_if100', 'ghm_cwap', 0, True),
    ]
    assert not any(covers(older, other) for other in others)
    # A result of today is known by its hash alone.
    assert not covers(dict(older, mathematics=VERSION), today)
    stale = result('ghm_cwap_ura', 0, 9.0, mathematics=2)
    ura = Experiment('ghm_cwap_ura', 'resnet32_cifar10_lt', 100, 0)
    assert not covers(stale, ura)


def test_pages_show_spread_difference_and_what_is_missing():
    results = [
        result('ghm_cwap', 0, 76.0),
        result('ghm_cwap', 1, 77.0),
        result('softmax', 0, 71.0),
        result('seesaw', 0, 99.0, epochs=5),
    ]
    text = render_markdown(results)
    own = rows_of(text)["`ghm_cwap`, the paper's method"]
    # scipy.stats.ttest_1samp([76, 77], 0).confidence_interval()
    assert own[:3] == ['2', '76.50 [70.15, 82.85]', '75.39']
    # What was not measured has no column.
    assert 'prior-corrected |' not in text
    # Another schedule stands in a table of its own and covers no cell.
    assert text.count(TITLE) == 2
    assert 'Shorter than the full schedule' in text
    missing = next(
        line for line in text.splitlines()
        if line.startswith('- resnet32_cifar10_lt_if100:')
    )  # fmt: skip
    assert 'seesaw' in missing and 'ghm_cwap' not in missing


def test_seeds_of_the_study_that_drew_other_sets_stand_together():
    results = [result('softmax', seed, 71.0 + seed) for seed in (0, 1, 1)]
    for each, data in zip(results, 'abc'):
        each['identity']['data_sha256'] = data * 64
    assert render_markdown(results).count(TITLE) == 3
    # Two names of one regime.
    for each, regime in zip(results, ('paper_if100', *['cifar10_if100'] * 2)):
        each['cell']['regime'] = regime
    drawn, other = render_markdown(results).split(TITLE)[1:]
    assert '; data aaaaaaaa, bbbbbbbb.' in drawn
    assert '| softmax cross-entropy | 2 | 71.50 [65.15, 77.85] |' in drawn
    # Its seed has another set already: these are other images.
    assert '; data cccccccc.' in other


def test_pages_show_the_calibration_error():
    results = [result('ghm_cwap', seed, 76.0) for seed in range(3)]
    for each, error in zip(results, (12.0, 14.0)):
        each['calibration_error'] = error
    text = render_markdown(results)
    assert '| worst class | calibration error |' in text
    assert '| 1.0 | 13.0 |' in text


def test_the_calibration_error_is_that_of_the_last_validation(tmp_path):
    assert calibration_error(tmp_path) is None
    (tmp_path / 'record').mkdir()
    np.savez(
        tmp_path / 'record/predictions.npz',
        label=[0, 1, 0, 1],
        prediction=[0, 1, 0, 0],
        # All in one bin: 75 % are right, with a mean score of 0.91.
        confidence=[0.9, 0.92, 0.9, 0.92],
    )
    assert calibration_error(tmp_path) == pytest.approx(16.0)


def test_full_runs_of_the_study_stand_beside_published_figures():
    results = [
        result(method, 0, overall, task='resnet32_cifar10_lt_decoded')
        for method, overall in (
            ('ghm_cwap', 77.0),
            ('ghm_cwap_balanced', 78.0),
            ('ghm_cwap_margin', 76.5),
            ('ghm_cwap_printed', 60.0),
            ('softmax', 71.0),
        )
    ]
    settings = (
        *('ghm_cwap', 'ghm_cwap_balanced', 'balanced_margin'),
        *('ghm_cwap_printed_lr0.01', 'softmax'),
    )
    for each, setting in zip(results, settings):
        each['cell']['setting'] = setting
    text = render_markdown(results)
    found = rows_of(text)
    assert found['`ghm_cwap_balanced`, our variant'][1:3] == ['+7.00', '–']
    own = found["`ghm_cwap`, the paper's method"]
    assert own[1:3] == ['+6.00', '75.39 (+3.65)']
    # By the config that it is.
    assert (
        '`balanced_softmax/resnet32_cifar10_lt_if100`'
        in found['Balanced Softmax']
    )
    control = found['`ghm_cwap_printed` at learning rate 0.01']
    assert 'setting `ghm_cwap_printed_lr0.01` of the study' in control
    missing = next(
        line for line in text.splitlines()
        if line.startswith('- resnet32_cifar10_lt_if100:')
    )  # fmt: skip
    assert 'seesaw' in missing
    assert 'softmax' not in missing and 'ghm_cwap' not in missing
