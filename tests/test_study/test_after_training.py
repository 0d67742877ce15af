"""What is measured of finished runs."""

import json

import numpy as np
import pytest

from mmghm.datasets import Digits, LongTailDataset
from mmghm.utils.errors import UserError
from study.after_training import left_out

from ..conftest import run_command, run_program


def test_a_draw_leaves_out_what_it_would_take_next():
    digits = Digits(split='train')
    tail = LongTailDataset(digits, imbalance_factor=20, seed=3)
    left = np.array(left_out(tail, 20).indices)
    assert not np.isin(left, tail.indices).any()
    held = np.bincount(digits.get_gt_labels()[left], minlength=10)
    rest = np.bincount(digits.get_gt_labels()) - tail.class_counts
    np.testing.assert_array_equal(held, np.minimum(rest, 20))
    larger = LongTailDataset(
        digits, class_counts=(tail.class_counts + held).tolist(), seed=3
    )
    assert np.isin(left, larger.indices).all()
    with pytest.raises(UserError, match='every image'):
        left_out(LongTailDataset(digits, profile='none'), 20)


@pytest.mark.slow
def test_after_training(tmp_path):
    cell = dict(
        method='softmax',
        task='resnet8_digits_lt',
        imbalance_factor=20,
        seed=0,
        epochs=2,
    )
    results, runs = tmp_path / 'results', tmp_path / 'runs'
    results.mkdir()
    tool = ('study/after_training.py', results, runs)
    status, printed = run_program(*tool)
    assert status == 2 and 'holds no results' in printed
    for name in ('done', 'elsewhere'):
        (results / f'{name}.json').write_text(json.dumps(dict(cell=cell)))
    short = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=2']
    status, printed = run_command(
        *('train', 'softmax/resnet8_digits_lt', '--seed', 0),
        *('--work-dir', runs / 'done', '--cfg-options', *short),
        cwd=tmp_path,
    )
    assert status == 0, printed
    status, printed = run_program(*tool)
    assert status == 0, printed
    assert 'elsewhere: skipped, there is no' in printed
    (path,) = (results / 'after_training').iterdir()
    found = json.loads(path.read_text())
    (history,) = (runs / 'done').rglob('scalars.json')
    last = json.loads(history.read_text().splitlines()[-1])
    assert found['as_trained']['overall'] == pytest.approx(
        last['group/overall/top1'], abs=0.01
    )
    assert found['fitted_on'].endswith(' images')
    # The rare classes gain most where the head is expected less.
    gain = {
        part: found['prior_corrected'][part] - found['as_trained'][part]
        for part in ('many', 'rare')
    }
    assert gain['rare'] > gain['many']
    posthoc = ['softmax/resnet8_digits_lt', runs / 'done/epoch_2.pth']
    posthoc += ['--methods', 'ncm', '--out', tmp_path / 'ncm.json']
    assert run_command('posthoc', *posthoc, cwd=tmp_path)[0] == 0
    other = json.loads((tmp_path / 'ncm.json').read_text())['ncm']['accuracy']
    assert found['nearest_mean']['overall'] == pytest.approx(
        other['overall'], abs=0.01
    )
    # What is there is kept.
    path.write_text('{}')
    assert run_program(*tool)[0] == 0
    assert path.read_text() == '{}'
