"""The page in a browser: it draws, answers to keys, fits a phone."""

import json

import numpy as np
import pytest

from mmghm.deploy.calibration import Scores, calibrate
from mmghm.deploy.prior_shift import in_use, write_in_use
from mmghm.evaluation.priors import log_softmax
from mmghm.losses import LogitAdjustedLoss
from mmghm.report.page import read_runs, render

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def small(make_run, tmp_path_factory):
    runs = [make_run('ours', 10, 6), make_run('theirs', 10, 4, seed=1)]
    path = tmp_path_factory.mktemp('page') / 'report.html'
    path.write_text(render(read_runs(runs)), encoding='utf-8')
    return path


@pytest.fixture(scope='module')
def large(make_run, tmp_path_factory):
    """As many classes as iNaturalist 2018 has."""
    run = make_run('inaturalist', 8142, 15, images=3)
    path = tmp_path_factory.mktemp('page') / 'report.html'
    path.write_text(render(read_runs([run])), encoding='utf-8')
    return path


@pytest.fixture
def view(chromium):
    """Open a page without a network; nothing may go wrong in it."""
    contexts, complaints = [], []

    def open_page(path, width=1200):
        context = chromium.new_context(viewport=dict(width=width, height=800))
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.on('console', lambda message: complaints.append(message.text))
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on('request', lambda request: complaints.append(request.url))
        complaints.append('')
        page.goto(path.as_uri())
        # The document itself; all that it needs is in it.
        assert complaints == ['', path.as_uri()]
        page.wait_for_selector('#status', state='detached')
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert len(complaints) == 2, complaints


def title_of(page, figure):
    return page.evaluate(
        f"document.getElementById('{figure}').data.map(t => t.name)"
    )


def test_draws_every_figure(view, small):
    page = view(small)
    for figure in (
        'groups',
        'classes',
        'train',
        'validation',
        'confusion',
        'calibration',
        'histogram',
    ):
        assert page.locator(f'#{figure} svg.main-svg').count() > 0, figure
    assert 'GHMCWAPLoss' in page.locator('#settings').inner_text()
    # Overall, macro, worst class, calibration; the groups have a chart.
    assert page.locator('#cards .card').count() == 4
    assert 'epoch' in page.locator('#when').inner_text()


def test_the_slider_answers_to_keys(view, small):
    page = view(small)
    bars = "document.getElementById('histogram').data[0].y.join()"
    assert page.locator('#epoch-shown').inner_text() == '6'
    last = page.evaluate(bars)
    page.focus('#epoch')
    page.keyboard.press('ArrowLeft')
    page.wait_for_function(f'{bars} !== {last!r}')
    assert page.locator('#epoch-shown').inner_text() == '5'
    page.keyboard.press('Home')
    assert page.locator('#epoch-shown').inner_text() == '1'


def test_shows_the_class_that_is_asked_for(view, small):
    page = view(small)
    first = page.input_value('#class')
    assert page.locator('#previous').is_disabled()
    page.click('#next')
    second = page.input_value('#class')
    assert second != first
    page.fill('#class', 'genus SPECIES 3')
    page.keyboard.press('Enter')
    assert page.input_value('#class').startswith('3: Genus species 3')
    page.fill('#class', 'unicorn')
    page.keyboard.press('Enter')
    assert 'unicorn' in page.locator('#class-error').inner_text()


def test_compares_two_runs(view, small):
    page = view(small)
    assert title_of(page, 'groups') == ['ours']
    page.select_option('#against', label='theirs')
    page.wait_for_function("document.getElementById('groups').data.length == 2")
    assert title_of(page, 'groups') == ['ours', 'theirs']
    assert 'points against theirs' in page.locator('#cards').inner_text()
    # A run is not compared with itself.
    shown = page.locator('#against option').all_inner_texts()
    assert sorted(shown) == ['none', 'theirs']
    assert 'difference' in title_of(page, 'classes')
    page.click('summary >> nth=0')
    assert 'difference' in page.locator('#groups-table').inner_text()
    page.select_option('#run', label='theirs')
    page.select_option('#rule', 'kang')
    assert page.locator('#epoch-shown').inner_text() == '4'


def test_every_control_is_reached_by_the_tab_key(view, small):
    page = view(small)
    reached = set()
    for _ in range(30):
        page.keyboard.press('Tab')
        reached.add(page.evaluate('document.activeElement.id'))
    controls = {'run', 'against', 'rule', 'curve', 'class', 'next', 'epoch'}
    assert controls <= reached


@pytest.mark.parametrize('width', [320, 375])
def test_fits_a_phone(view, small, width):
    page = view(small, width)
    assert page.evaluate('document.documentElement.scrollWidth') == width


def test_many_classes(view, large):
    assert large.stat().st_size < 10e6
    page = view(large)
    assert 'of 15 recorded epochs' in page.inner_text('#histogram-note')
    assert int(page.get_attribute('#epoch', 'max')) >= 4
    page.fill('#class', '8141')
    page.keyboard.press('Enter')
    assert page.input_value('#class').startswith('8141: Genus species 8141')
    bars = "document.getElementById('histogram').data[0].y.length"
    assert page.evaluate(bars) == 30


def test_shows_the_images_that_were_evaluated(view, make_run, tmp_path):
    """Of the validation and of the test, not those of training."""
    run = make_run('tested', 101, 2, images=7)
    with np.load(run / 'record/predictions.npz') as arrays:
        tested = {name: values[:700] for name, values in arrays.items()}
    tested['checkpoint'] = np.array('epoch_2.pth')
    np.savez_compressed(run / 'record/test.npz', **tested)
    other = make_run('validated', 101, 2, images=7)
    path = tmp_path / 'report.html'
    path.write_text(render(read_runs([run, other])), encoding='utf-8')
    page = view(path)
    page.select_option('#run', label='tested')
    page.select_option('#against', label='validated')
    assert 'of 707 validation images' in page.inner_text('#cards')
    assert 'points against validated' in page.inner_text('#cards')
    page.select_option('#part', 'test')
    assert 'of 700 test images' in page.inner_text('#cards')
    # Other images are no comparison.
    assert 'points against' not in page.inner_text('#cards')
    said = 'Not compared: of validated no test is recorded.'
    assert said in page.inner_text('#when')
    assert 'epoch_2.pth' in page.inner_text('#when')
    page.click('summary >> nth=0')
    assert 'test images' in page.inner_text('#groups-table')
    lines = "document.getElementById('classes').data.filter(t => t.line)"
    colors = page.evaluate(f'{lines}.map(t => t.line.color)')
    assert len(colors) == 2 == len(set(colors))


def test_says_what_was_not_recorded(view, tmp_path):
    (tmp_path / 'plain.py').write_text('train_cfg = dict(max_epochs=1)')
    path = tmp_path / 'report.html'
    path.write_text(render(read_runs([tmp_path])), encoding='utf-8')
    page = view(path)
    text = page.inner_text('main')
    assert 'RunRecordHook' in text and 'No validation was logged' in text


def test_a_model_in_use(view, make_run, tmp_path):
    """What `test --prior` has measured, also where a figure is NaN."""
    run = make_run('used', 10, 4)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 60)
    scores = rng.normal(size=(600, 10))
    scores[np.arange(600), labels] += 2
    counts = json.loads((run / 'record/run.json').read_text())['class_counts']
    calibration = calibrate(
        LogitAdjustedLoss(10),
        np.array(counts),
        Scores(scores, labels, 'held-out images'),
    )
    found = in_use(log_softmax(scores), labels, calibration)
    found['shifts'][0]['error'] = (float('nan'), 0.0)
    write_in_use(run, found)
    page = tmp_path / 'report.html'
    page.write_text(render(read_runs([run])), encoding='utf-8')
    shown = view(page)
    lines = shown.locator('#use-shifts tr')
    assert lines.count() == 8
    assert 'forward 50' in lines.nth(1).inner_text()
    assert '–' in lines.nth(1).inner_text()
    uniform = found['shifts'][3]
    assert f'{uniform["trained"][0]:.2f} ±' in lines.nth(4).inner_text()
    assert title_of(shown, 'use-coverage')[0] == 'all'
    assert 'with temperature' in shown.inner_text('#use-calibration')
    assert 'Class prior of the model: measured' in shown.inner_text('#use-note')


def test_damaged_figures_of_use_are_left_out(make_run):
    run = make_run('damaged', 10, 4)
    for text in ('{', '{}', '{"shifts": 1}', '[]'):
        (run / 'record/in_use.json').write_text(text)
        assert read_runs([run])[0].in_use is None


def test_draws_what_is_there(view, make_run, tmp_path):
    """A loss that became NaN, and a group without validation images."""
    run = make_run('broken', 10, 4)
    (logs,) = run.glob('*/vis_data/scalars.json')
    text = logs.read_text().replace('"loss": 0.5', '"loss": NaN')
    logs.write_text(text.replace('"group/overall/top1": 53.0', '"x": Infinity'))
    assert 'NaN' in logs.read_text() and 'Infinity' in logs.read_text()
    path = run / 'record/predictions.npz'
    arrays = dict(np.load(path))
    facts = json.loads((run / 'record/run.json').read_text())
    rare = np.argsort(facts['class_counts'])[:3]
    kept = ~np.isin(arrays['label'], rare)
    np.savez_compressed(path, **{k: v[kept] for k, v in arrays.items()})
    page = tmp_path / 'report.html'
    page.write_text(render(read_runs([run])), encoding='utf-8')
    shown = view(page)
    for figure in ('groups', 'classes', 'train', 'validation', 'calibration'):
        assert shown.locator(f'#{figure} svg.main-svg').count() > 0, figure
    assert shown.locator('#cards .card').count() == 4
    shown.locator('summary', has_text='As a table').click()
    assert '–' in shown.locator('#groups-table').inner_text()
