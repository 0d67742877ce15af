"""Train images near a mistake, and those whose label may be wrong."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.engine.configs import load_config
from mmghm.report import train_images
from mmghm.report.page import read_runs
from mmghm.report.payload import run_payload
from mmghm.report.run import Run
from mmghm.report.train_images import (
    LabelIssues,
    describe_issues,
    label_issues,
    look_at_train_images,
    nearest,
)
from mmghm.utils.errors import UserError
from mmghm.utils.options import merge_options

from ..conftest import run_command


def clusters(counts, seed=0, width=16):
    """Features of classes that are told apart easily, and their labels."""
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(len(counts), width))
    labels = np.repeat(np.arange(len(counts)), counts)
    features = centres[labels] + rng.normal(size=(len(labels), width))
    return features.astype(np.float32), labels


@pytest.mark.parametrize('number', [1, 3, 50])
def test_nearest_is_what_sorting_gives(number):
    rng = np.random.default_rng(0)
    features, train = rng.normal(size=(5, 8)), rng.normal(size=(40, 8))
    # Equal ones, and one without a direction.
    train[7] = 2 * train[3]
    train[9] = 0
    order, similarity = nearest(features, train, number)
    for row, found, values in zip(features, order, similarity):
        cosines = [
            row @ t / max(np.linalg.norm(row) * np.linalg.norm(t), 1e-30)
            for t in train
        ]
        expected = np.sort(cosines)[::-1][:number]
        assert values == pytest.approx(expected)
        assert np.array(cosines)[found] == pytest.approx(expected)
        assert len(set(found)) == len(found) == min(number, 40)


def test_planted_labels_are_found():
    pytest.importorskip('cleanlab')
    features, labels = clusters([60, 40, 20, 10, 6, 5])
    given = labels.copy()
    planted = np.array([0, 61, 105, 121, 131])
    given[planted] = [1, 2, 3, 4, 5]
    issues = label_issues(features, given)
    assert set(planted) <= set(issues.images)
    assert len(issues.images) <= len(planted) + 2
    of_planted = np.isin(issues.images, planted)
    assert (
        issues.suggested[of_planted] == labels[issues.images[of_planted]]
    ).all()
    assert (np.diff(issues.confidence) >= 0).all()
    assert issues.confidence.min() >= 0 and issues.confidence.max() <= 1


def test_classes_of_one_and_two_images():
    pytest.importorskip('cleanlab')
    features, labels = clusters([30, 20, 2, 1, 0, 1])
    issues = label_issues(features, labels)
    assert not np.isin(labels[issues.images], [3, 5]).any()
    for counts in ([1, 1, 1], [9], [9, 1]):
        assert len(label_issues(*clusters(counts)).images) == 0


def test_too_many_classes_are_refused(monkeypatch):
    monkeypatch.setattr(train_images, '_MOST_PROBABILITIES', 10)
    with pytest.raises(UserError, match='at most 10'):
        label_issues(*clusters([5, 5]))


def test_the_tail_is_told_apart(tmp_path):
    path = tmp_path / '<b>.png'
    cv2.imwrite(str(path), np.zeros((30, 20, 3), np.uint8))
    labels = np.repeat(np.arange(4), [20, 10, 5, 2])
    issues = LabelIssues(
        np.array([36, 0, 35]), np.array([0, 3, 1]), np.array([0, 0.1, 0.25])
    )
    paths = ['gone.png'] * 36 + [str(path)]
    found = describe_issues(issues, labels, ['a', 'b', 'c', '<d>'], paths)
    assert found['groups'] == [
        ['many', 1, 20, 1],
        ['medium', 1, 10, 0],
        ['few', 1, 5, 0],
        ['rare', 1, 2, 2],
    ]
    first, second = found['tail']
    assert first[0].startswith('data:image/jpeg;base64,')
    assert first[1:] == ['<b>.png', '<d>', 'a', 0.0]
    assert second == ['', 'gone.png', '<d>', 'b', 25.0]
    assert found['head'] == [['', 'gone.png', 'a', '<d>', 10.0]]
    json.dumps(found)


OPTIONS = (
    *('backbone=timm/test_resnet', 'image_size=32', 'pretrained=none'),
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
)


def write_run(folder, cfg):
    """A work dir as training leaves it, with the weights of its beginning."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(folder / 'config.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'first.pth')
    return folder


@pytest.fixture
def photos(class_folders, monkeypatch, tmp_path):
    """A run on ten classes of noise, every validation image wrong but one."""
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    cfg = load_config('own_data/linear_probe', OPTIONS)
    merge_options(cfg, OPTIONS)
    cfg.train_dataloader.dataset.holdout = 0
    # Each train image three times, which is no reason to show it thrice.
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=3, dataset=cfg.train_dataloader.dataset
    )
    folder = write_run(tmp_path / 'run', cfg)
    images = sorted((class_folders / 'train').glob('digit?/*.png'))[:4]
    predictions = dict(
        label=np.arange(4),
        prediction=np.array([1, 2, 3, 3]),
        confidence=np.array([0.9, 0.8, 0.7, 0.6]),
        image=np.array(['gone.png', *map(str, images[1:])]),
    )
    run = Run('run', cfg, predictions=predictions)
    return folder, run, images


def look(folder, run):
    return look_at_train_images(run, folder, str(folder / 'first.pth'))


def test_each_mistake_has_its_nearest_train_images(photos, monkeypatch):
    """Also without cleanlab, and then a line says what to install."""
    folder, run, images = photos
    cfg = run.config
    # The train images are those of validation, too.
    cfg.val_dataloader.dataset = cfg.train_dataloader.dataset.dataset
    cfg.dump(str(folder / 'config.py'))
    monkeypatch.setitem(sys.modules, 'cleanlab.filter', None)
    found = look(folder, run)
    gone, first, second = found['nearest']
    assert gone == []
    for near, image in ((first, images[1]), (second, images[2])):
        # Itself, and two others.
        assert near[0][1:] == [image.name, image.parent.name, 1.0]
        assert len({(file, name) for _, file, name, _ in near}) == 3
        assert all(row[0].startswith('data:image/jpeg') for row in near)
        similarities = [row[3] for row in near]
        assert similarities == sorted(similarities, reverse=True)
    assert found['labels'] == dict(
        note='Not looked for: cleanlab is missing, for train images whose label '
        "may be wrong: pip install cleanlab (mmghm's extra `label-errors`)"
    )


def test_images_in_memory_are_not_shown(digits_cfg, tmp_path):
    cfg = digits_cfg()
    folder = write_run(tmp_path / 'run', cfg)
    assert look(folder, Run('run', cfg)) == dict(
        note='The train images are not in files: none is shown.'
    )


def test_two_runs_have_no_common_checkpoint(tmp_path):
    status, printed = run_command(
        *('report', 'a', 'b', '--checkpoint', 'c.pth'), cwd=tmp_path
    )
    assert status == 2
    assert printed.splitlines()[-1] == (
        'mmghm report: error: --checkpoint takes one work dir'
    )


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        ('none.pth', 'none.pth'),
        ('other.pth', 'other.pth was trained with another config: size'),
    ],
)
def test_a_wrong_checkpoint_is_a_line(file, message, photos):
    folder, _, _ = photos
    weights = torch.load(folder / 'first.pth')['state_dict']
    for name in ('head.fc.weight', 'head.fc.bias'):
        weights[name] = weights[name][:7]
    torch.save(dict(state_dict=weights), folder / 'other.pth')
    status, printed = run_command(
        *('report', '.', '--checkpoint', file), cwd=folder
    )
    assert status == 2
    (line,) = [
        line for line in printed.splitlines() if line.startswith('mmghm report')
    ]
    assert message in line and 'Traceback' not in printed


def test_a_work_dir_without_its_config_is_named(photos):
    folder, _, _ = photos
    (folder / 'config.py').write_text('model = dict(type=1)')
    status, printed = run_command(
        *('report', '.', '--checkpoint', 'first.pth'), cwd=folder
    )
    assert status == 2 and '. holds no whole config' in printed, printed


@pytest.mark.slow
def test_a_trained_run_end_to_end(
    class_folders, monkeypatch, tmp_path, chromium
):
    pytest.importorskip('cleanlab')
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    for command in (
        ('train', 'own_data/linear_probe', '--work-dir', 'run')
        + ('--cfg-options', *OPTIONS, 'train_cfg.max_epochs=2'),
        ('report', 'run', '--checkpoint', 'run/epoch_2.pth'),
    ):
        status, printed = run_command(*command, cwd=tmp_path)
        assert status == 0, printed
    page = chromium.new_page(viewport=dict(width=375, height=800))
    page.goto((tmp_path / 'run/report.html').as_uri())
    page.wait_for_selector('#status', state='detached')
    assert page.evaluate('document.documentElement.scrollWidth') == 375
    mistakes = page.locator('#mistakes figure').count()
    assert mistakes > 0
    assert 'its nearest train images' in page.inner_text('#mistakes')
    near = page.locator('#mistakes .nearest li')
    assert near.count() == 3 * mistakes
    assert near.first.inner_text().startswith('digit')
    shown = page.inner_text('#labels')
    # A tenth of each class is for validation.
    (run,) = read_runs([tmp_path / 'run'])
    assert f'of {run.class_counts.sum()} train images' in shown
    assert 'to look at, not to delete from' in shown
    single = (run.class_counts == 1).sum()
    assert f'Not examined: {single} classes with a single image' in shown
    page.close()


def test_a_page_without_a_checkpoint_has_no_such_list(photos):
    _, run, _ = photos
    assert run_payload(run, 1)['train_images'] is None
