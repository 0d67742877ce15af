"""What the page is made of."""

import base64
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.runner import Runner

from mmghm.engine import RunRecordHook
from mmghm.evaluation import reliability
from mmghm.report.page import read_runs
from mmghm.report.payload import (
    EXAMPLES_RANGE,
    evaluation,
    histograms,
    settings,
)
from mmghm.report.run import Run, read_run
from mmghm.report.seeds import same_settings
from mmghm.visualization.names import abbreviate

from ..conftest import run_command


def test_reads_a_run_that_was_killed(make_run):
    run = read_run(make_run('killed', 4, 3))
    assert run.train['loss'] == ([1, 2, 3], [1, 1 / 2, 1 / 3])
    assert run.validation['group/overall/top1'][1] == [51, 52, 53]
    assert sorted(run.histogram_files) == [1, 2, 3]
    assert run.predictions['label'].shape == (20,)
    damaged = run.histogram_files[2]
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert histograms(run.histogram_files, 10**6)['steps'] == [1, 3]


def test_a_resumed_run_continues_its_curves(make_run):
    folder = make_run('resumed', 4, 3)
    later = folder / '20260102_000000' / 'vis_data'
    later.mkdir(parents=True)
    line = dict(lr=0.1, loss=9.0, iter=30, epoch=3, step=30)
    (later / 'scalars.json').write_text(json.dumps(line))
    (later / 'config.py').write_text('train_cfg = dict(max_epochs=7)')
    run = read_run(folder)
    assert run.train['loss'][1] == [1, 1 / 2, 9]
    assert run.config.train_cfg.max_epochs == 7


def test_a_test_is_no_training(make_run):
    folder = make_run('tested', 4, 3)
    later = folder / '20260102_000000' / 'vis_data'
    later.mkdir(parents=True)
    (later / 'config.py').write_text("load_from = 'epoch_3.pth'")
    assert read_run(folder).config.train_cfg.max_epochs == 3


def test_seeds_on_features_are_one_setting(make_run):
    runs = []
    for seed in (0, 1):
        runs.append(read_run(make_run(f'seed{seed}', 4, 2, seed)))
        features = dict(type='CachedFeatures', path=f'/tmp/{seed}')
        runs[-1].config.train_dataloader = dict(dataset=features)
    assert [len(rows) for rows in same_settings(runs).values()] == [2]


def test_runs_of_one_name_are_told_apart(make_run):
    folders = [make_run('same', 2, 1), make_run('same', 2, 1)]
    names = [run.name for run in read_runs(folders)]
    assert len(set(names)) == 2 and all(n.endswith('/same') for n in names)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    status, printed = run_command('report', tmp_path, cwd=tmp_path)
    assert status == 2
    assert f'{tmp_path} is no work dir of a run' in printed


def test_reliability_equals_a_plain_computation():
    rng = np.random.default_rng(0)
    score, right = rng.random(500), rng.random(500) < 0.6
    score[:3] = 0, 0.2, 1
    found = reliability(score, right, bins=5)
    error = 0.0
    for number in range(5):
        inside = (score > number / 5) & (score <= (number + 1) / 5)
        inside |= (score == 0) & (number == 0)
        assert found.share[number] == inside.mean()
        assert found.accuracy[number] == pytest.approx(right[inside].mean())
        gap = abs(right[inside].mean() - score[inside].mean())
        error += inside.mean() * gap
    assert found.expected_calibration_error == pytest.approx(error)


def test_reliability_of_nothing_in_a_bin():
    found = reliability(np.array([0.95, 0.95]), np.array([True, False]))
    assert found.expected_calibration_error == pytest.approx(0.45)
    assert np.isnan(found.accuracy).sum() == 14


def test_confusion_between_head_and_tail():
    counts = np.array([100, 90, 3, 2])
    predictions = dict(
        label=np.array([0, 0, 2, 2, 3]),
        prediction=np.array([0, 1, 0, 2, 1]),
        confidence=np.full(5, np.nan),
    )
    found = evaluation(counts, predictions)
    assert found['tested'] == [2, 0, 2, 1] and found['correct'] == [1, 0, 1, 0]
    kang = found['confusion']['kang']
    assert kang['names'] == ['medium', 'few']
    assert kang['shares'] == [[1, 0], [round(2 / 3, 5), round(1 / 3, 5)]]
    # Without scores nothing is said about them.
    assert found['calibration'] == {}


def test_coded_histograms_are_those_recorded(make_run):
    run = read_run(make_run('coded', 5, 2, regions=7))
    found = histograms(run.histogram_files, 10**6)
    raw = gzip.decompress(base64.b64decode(found['data'][1]))
    arrays = np.load(run.histogram_files[2])
    coded = np.frombuffer(raw, np.uint8, 35).reshape(5, 7).astype(float)
    low, high = map(math.log, EXAMPLES_RANGE)
    examples = np.exp(low + (coded - 1) / 254 * (high - low))
    seen = arrays['examples'] > 0
    assert ((coded > 0) == seen).all()
    assert np.allclose(examples[seen], arrays['examples'][seen], rtol=0.03)
    angle = np.frombuffer(raw, '<u2', offset=70).reshape(5, 6) / 65535
    edges = np.sin(angle * math.pi / 2) ** 2
    assert np.allclose(edges, arrays['edges'][:, 1:-1], atol=1e-4)


def test_histograms_keep_to_their_budget(make_run):
    run = read_run(make_run('budget', 50, 20))
    whole = histograms(run.histogram_files, 10**7)
    assert whole['steps'] == list(range(1, 21))
    part = histograms(run.histogram_files, 5 * len(whole['data'][0]) + 100)
    assert part['steps'][-1] == 20 and len(part['steps']) == 5
    assert len(histograms(run.histogram_files, 1)['steps']) == 1


def test_a_run_is_recorded(digits_cfg):
    cfg = digits_cfg(max_epochs=3)
    for hook in cfg.custom_hooks:
        if hook.type == 'RunRecordHook':
            hook.max_records = 2
    cfg.visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    cfg.dump(str(runner.work_dir) + '/config.py')
    (run,) = read_runs([Path(runner.work_dir)])
    assert sorted(run.histogram_files) == [2, 3]
    last = np.load(run.histogram_files[3])
    assert last['examples'].sum() == pytest.approx(482)
    assert run.class_counts.sum() == 482 and len(run.class_names) == 10
    right = (run.predictions['label'] == run.predictions['prediction']).mean()
    logged = run.validation['group/overall/top1'][1][-1]
    assert 100 * right == pytest.approx(logged, abs=1e-3)
    assert isinstance(run.config, Config)
    # A test goes to the run whose checkpoint it was.
    assert run.test is None
    cfg.load_from = f'{runner.work_dir}/epoch_3.pth'
    cfg.work_dir = f'{runner.work_dir}/elsewhere'
    Runner.from_cfg(cfg).test()
    (run,) = read_runs([Path(runner.work_dir)])
    assert run.test['checkpoint'] == 'epoch_3.pth'
    assert len(run.test['label']) == 367


def test_an_iteration_based_run_is_recorded(digits_cfg):
    cfg = digits_cfg()
    cfg.train_cfg = dict(by_epoch=False, max_iters=16, val_interval=8)
    cfg.param_scheduler = None
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    cfg.default_hooks.checkpoint.by_epoch = False
    runner = Runner.from_cfg(cfg)
    runner.train()
    folder = Path(runner.work_dir) / 'record'
    assert sorted(p.name for p in folder.glob('hist*')) == [
        'histograms_0000008.npz',
        'histograms_0000016.npz',
    ]


def test_max_records_is_checked():
    with pytest.raises(ValueError, match='max_records must be at least 1'):
        RunRecordHook(max_records=0)


def test_settings_are_brief():
    dataset = dict(
        type='CustomDataset',
        _scope_='mmghm',
        metainfo=dict(classes=['a'] * 121),
        supercategories=list('abcdefghijk'),
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    rows = dict(settings(Run('run', cfg)))
    assert rows['dataset'] == (
        "CustomDataset(supercategories=['a', 'b', 'c', … 11 in all])"
    )


def test_names_that_fit():
    assert abbreviate('short') == 'short'
    assert abbreviate('Acartia_clausi_copepodite_4') == 'Acartia_c…podite_4'
    assert len(abbreviate('x' * 100, 18)) == 18
    # No formula for matplotlib.
    figure = Figure()
    axes = figure.subplots()
    axes.set_title(abbreviate('price_$5_to_$10', 30))
    figure.canvas.draw()
