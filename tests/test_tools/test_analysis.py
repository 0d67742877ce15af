"""``browse``, and pictures of runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmghm.datasets.class_counts import gini, imbalance_factor
from mmghm.report.run import Run
from mmghm.report.seeds import same_settings

from ..conftest import run_command, run_program


def call(tool, *args):
    return run_program(f'study/{tool}.py', *args)


def is_picture(path):
    """Whether something has been drawn."""
    return np.unique(cv2.imread(str(path))).size > 20


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A short run for each of two seeds, and one of another loss."""
    folder = tmp_path_factory.mktemp('trained')
    for name, config, seed in (
        ('ghm0', 'ghm_cwap', 0),
        ('ghm1', 'ghm_cwap', 1),
        ('plain', 'softmax', 0),
    ):
        status, printed = run_command(
            *('train', f'{config}/resnet8_digits_lt', '--seed', seed),
            *('--work-dir', name, '--cfg-options'),
            *('train_cfg.max_epochs=2', 'train_cfg.val_interval=2'),
            cwd=folder,
        )
        assert status == 0, printed
    return folder


def test_gini_equals_the_mean_difference():
    counts = np.array([50, 20, 20, 0, 10])
    pairs = np.abs(counts[:, None] - counts).mean()
    assert gini(counts) == pytest.approx(pairs / (2 * counts.mean()))
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([9, 0, 0])) == pytest.approx(2 / 3)
    assert imbalance_factor(counts) == 5
    assert np.isnan(gini(np.zeros(3))) and np.isnan(
        imbalance_factor(np.zeros(3))
    )


def test_browse(tmp_path):
    status, printed = run_command(
        *('browse', 'softmax/resnet8_digits_lt', '--out-dir', '.'),
        cwd=tmp_path,
    )
    assert status == 0, printed
    assert '482 images of 10 classes' in printed
    assert 'imbalance factor 20.43' in printed
    assert is_picture(tmp_path / 'classes.png')
    assert is_picture(tmp_path / 'samples.png')


def test_browse_reads_images_from_the_disk(tmp_path, class_folders):
    config = tmp_path / 'mine.py'
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='CustomDataset', "
        f'data_root={str(class_folders / "train")!r}, pipeline=[]))\n'
        "default_scope = 'mmpretrain'\n"
    )
    status, printed = run_command(
        *('browse', config, '--out-dir', '.', '--images', 3), cwd=tmp_path
    )
    assert status == 0, printed
    assert is_picture(tmp_path / 'samples.png')


def test_browse_refuses_no_images(tmp_path):
    status, printed = run_command(
        *('browse', 'x', '--out-dir', '.', '--images', 0), cwd=tmp_path
    )
    assert status == 2 and '--images must be at least 1, got 0' in printed


@pytest.mark.slow
def test_plot_histograms(trained, tmp_path):
    checkpoint = trained / 'ghm0/epoch_2.pth'
    out = tmp_path / 'h.png'
    status, printed = call('plot_histograms', checkpoint, '--out', out)
    assert status == 0, printed
    assert is_picture(out) and is_picture(tmp_path / 'h_categories.png')
    chosen = tmp_path / 'chosen.png'
    call('plot_histograms', checkpoint, '--out', chosen, '--classes', 9)
    assert cv2.imread(str(chosen)).shape != cv2.imread(str(out)).shape


@pytest.mark.slow
@pytest.mark.parametrize(
    'run, options, error',
    [
        ('plain', [], 'was trained without GHMCWAPLoss'),
        ('ghm0', ['--classes', '10'], '--classes must be 0 to 9, got [10]'),
    ],
)
def test_plot_histograms_names_what_is_wrong(trained, run, options, error):
    checkpoint = trained / run / 'epoch_2.pth'
    options = ['--out', 'x.png', *options]
    status, printed = call('plot_histograms', checkpoint, *options)
    assert status == 2 and error in printed


@pytest.mark.slow
def test_runs_that_differ_in_their_seed_are_one_row(trained):
    status, printed = run_command(
        *('report', 'ghm0', 'plain', 'ghm1', '--out', 'all.html'), cwd=trained
    )
    assert status == 0, printed
    rows = [line.split('│')[1:4] for line in printed.splitlines()]
    rows = [[cell.strip() for cell in row] for row in rows if len(row) == 3]
    (seeds,) = (row for row in rows if row[0] == 'ghm0')
    assert seeds[1] == '2' and '±' in seeds[2]
    assert ['plain', '1'] in [row[:2] for row in rows]
    assert 'ghm1' not in [row[0] for row in rows]


@pytest.mark.slow
def test_pictures_for_every_backend(digits_cfg):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    cfg = digits_cfg(max_epochs=3)
    cfg.train_cfg.val_interval = 1
    cfg.custom_hooks.append(dict(type='LongTailVisualizationHook', interval=2))
    backends = [
        dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend'),
    ]
    cfg.visualizer = dict(type='UniversalVisualizer', vis_backends=backends)
    runner = Runner.from_cfg(cfg)
    runner.train()
    found = {p.name for p in Path(runner.work_dir).rglob('vis_image/*.png')}
    shown = [('classes', [0])]
    shown += [(n, [2, 3]) for n in ('histograms', 'categories', 'groups')]
    names = {
        f'long_tail_{n}_{step}.png' for n, steps in shown for step in steps
    }
    assert found == names
    events = next(Path(runner.work_dir).rglob('events.out*'))
    accumulator = EventAccumulator(str(events.parent), {'images': 0}).Reload()
    for name, steps in shown:
        images = accumulator.Images(f'long_tail_{name}')
        assert [image.step for image in images] == steps


def test_a_lone_validation_draws_nothing(digits_cfg):
    cfg = digits_cfg()
    cfg.custom_hooks.append(dict(type='LongTailVisualizationHook', interval=1))
    runner = Runner.from_cfg(cfg)
    runner.val()
    assert not list(Path(runner.work_dir).rglob('long_tail*'))


def test_runs_of_other_initial_weights_are_other_rows():
    scratch = Run('scratch', Config(dict(load_from=None, resume=False)))
    resumed = Run('resumed', Config(dict(load_from='epoch_1.pth', resume=True)))
    tuned = Run('tuned', Config(dict(load_from='weights.pth', resume=False)))
    rows = same_settings([scratch, resumed, tuned])
    assert {name: len(runs) for name, runs in rows.items()} == {
        'scratch': 2,
        'tuned': 1,
    }
