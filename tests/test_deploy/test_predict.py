"""Predictions: the tool as a user calls it, with what users have."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import pyarrow
import pytest
from mmengine.config import Config
from PIL import Image
from pyarrow import parquet

from mmghm.cli import predict as cli
from mmghm.cli.options import make_parser
from mmghm.deploy.images import Found, ImageReader, find_images, read_images
from mmghm.deploy.load import load_deployed
from mmghm.deploy.network import dataset_logits
from mmghm.deploy.predict import abstention, known_prior, prediction_rows
from mmghm.deploy.prediction_writer import PredictionWriter
from mmghm.evaluation.priors import log_softmax
from mmghm.utils.errors import UserError

from ..conftest import ROOT


def call(folder, monkeypatch, *args):
    """Run ``predict`` in this process."""
    monkeypatch.chdir(folder)
    parser = make_parser('')
    parsed = cli.parse(parser, list(map(str, args)))
    if parsed.workers is None:
        parsed.workers = 0
    cli.run(parsed)


def rows_of(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def test_predicts_what_testing_does(
    published, trained, photos, tmp_path, monkeypatch
):
    call(tmp_path, monkeypatch, published, photos, '--top', 10)
    rows = rows_of('predictions.csv')
    cfg = Config.fromfile(trained[0])
    from mmghm.deploy.load import read_training

    model = read_training(cfg, trained[1], False).model
    logits, labels, _ = dataset_logits(model, cfg.test_dataloader, '')
    temperature = load_deployed(str(published)).calibration.temperature
    expected = np.exp(log_softmax(logits.astype(float) / temperature))
    assert len(rows) == len(labels) == 367
    for row in rows:
        place = int(row['path'].rpartition('/')[2][:-4])
        assert row['label'] == str(expected[place].argmax())
        chance = float(row['probability'])
        assert abs(chance - expected[place].max()) < 2e-5
        assert row['path'].split('/')[-2] == str(labels[place])
        total = chance + sum(
            float(row[f'probability_{k}']) for k in range(2, 11)
        )
        assert abs(total - 1) < 1e-4


@pytest.mark.parametrize('ending', ['csv', 'jsonl', 'parquet'])
def test_formats_say_the_same(published, photos, tmp_path, monkeypatch, ending):
    (tmp_path / 'photos').symlink_to(photos)
    (tmp_path / 'bad.png').touch()
    inputs = ['photos/3', 'bad.png']
    call(tmp_path, monkeypatch, published, *inputs, '--out', f'out.{ending}')
    if ending == 'csv':
        rows = rows_of('out.csv')
    elif ending == 'jsonl':
        text = (tmp_path / 'out.jsonl').read_text()
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = parquet.read_table('out.parquet').to_pylist()
    assert len(rows) == len(list((photos / '3').iterdir())) + 1
    assert rows[-1]['path'] == 'bad.png' and 'empty' in rows[-1]['error']
    assert not rows[-1].get('label')
    assert rows[0]['path'].startswith('photos/3/')
    assert rows[0]['group'] == 'medium' and 'probability_3' in rows[0]


def test_inputs_of_every_kind(photos, tmp_path, monkeypatch):
    names = [p.name for p in sorted((photos / '0').iterdir())][:4]
    (tmp_path / 'list.txt').write_text(
        f'{photos}/0/{names[0]}\n\n{photos}/0/{names[1]} 17\r\n'
    )
    (tmp_path / 'table.csv').write_text(
        f'id,path\n1,{photos}/0/{names[2]}\n2,\n'
    )
    parquet.write_table(
        pyarrow.table({'path': [f'{photos}/0/{names[3]}']}),
        tmp_path / 'table.parquet',
    )
    given = [str(tmp_path / n) for n in ('list.txt', 'table.csv')]
    given += [str(tmp_path / 'table.parquet'), f'{photos}/0/{names[0]}']
    found = [item.path for item in find_images(given)]
    assert [os.path.basename(path) for path in found] == [*names, names[0]]
    with pytest.raises(UserError, match=r"no column 'file', only id, path"):
        list(find_images([str(tmp_path / 'table.csv')], 'file'))
    with pytest.raises(UserError, match='no image, folder or list'):
        list(find_images(['nowhere']))


@pytest.mark.parametrize(
    'name, content',
    [
        ('long.csv', b'path\n"' + b'a' * 200_000 + b'"\n'),
        ('broken.parquet', b'PAR1 broken PAR1'),
        ('numbers.parquet', [1, 2]),
        ('bytes.parquet', [b'\xff.png']),
        ('empty.csv', b''),
    ],
)
def test_a_damaged_table_is_named(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, list):
        parquet.write_table(pyarrow.table({'path': content}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        list(find_images([str(path)]))


def test_links_that_lead_out_are_rows_with_an_error(tmp_path):
    (tmp_path / 'secret.png').touch()
    folder = tmp_path / 'folder'
    (folder / 'sub').mkdir(parents=True)
    (folder / 'in.png').touch()
    (folder / 'sub/inside.png').symlink_to('../in.png')
    (folder / 'sub/out.png').symlink_to('../../secret.png')
    (folder / 'sub/loop').symlink_to('..')
    found = {
        os.path.basename(f.path): f.error for f in find_images([str(folder)])
    }
    assert set(found) == {'in.png', 'inside.png', 'out.png'}
    assert found['in.png'] == found['inside.png'] == ''
    assert 'leads out' in found['out.png']


def bomb(width, height):
    """A PNG file of some bytes that says it is huge."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data).to_bytes(4, 'big')
        return len(data).to_bytes(4, 'big') + kind + data + crc

    size = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    head = chunk(b'IHDR', size + b'\x08\x02\x00\x00\x00')
    data = chunk(b'IDAT', zlib.compress(bytes(1000)))
    return b'\x89PNG\r\n\x1a\n' + head + data + chunk(b'IEND', b'')


def test_images_of_every_kind_become_rows(published, tmp_path, monkeypatch):
    folder = tmp_path / 'odd'
    folder.mkdir()
    random = np.random.default_rng(0)
    colour = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / '16bit.png'), colour.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'grey.png'), colour[..., 0])
    Image.fromarray(np.dstack([colour, colour[..., :1]])).save(
        folder / 'alpha.png'
    )
    Image.fromarray(colour).convert('CMYK').save(folder / 'cmyk.jpg')
    Image.fromarray(colour).save(folder / 'one_pixel.png')
    cv2.imwrite(str(folder / 'one_pixel.png'), colour[:1, :1])
    frames = [Image.fromarray(colour), Image.fromarray(colour[::-1])]
    frames[0].save(
        folder / 'moving.webp', save_all=True, append_images=frames[1:]
    )
    (folder / 'bomb.png').write_bytes(bomb(60_000, 60_000))
    (folder / 'negative.png').write_bytes(bomb(2**31 - 1, 2**31 - 1))
    (folder / 'text.png').write_text('no image')
    whole = (folder / 'grey.png').read_bytes()
    (folder / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (folder / 'folder.png').mkdir()
    (folder / 'gone.png').symlink_to('nothing')
    with open(
        os.path.join(os.fsencode(folder), b'\xff\xfename\n.png'), 'wb'
    ) as f:
        f.write(whole)
    call(tmp_path, monkeypatch, published, 'odd', '--html', 'page.html')
    found = {
        os.path.basename(row['path']): row['error']
        for row in rows_of('predictions.csv')
    }
    broken = {name for name, error in found.items() if error}
    assert broken == {
        *('bomb.png', 'negative.png', 'text.png', 'cut.png', 'gone.png')
    }
    assert set(found) - broken == {
        *('16bit.png', 'grey.png', 'alpha.png', 'cmyk.jpg', 'one_pixel.png'),
        *('moving.webp', '\\xff\\xfename\n.png'),
    }
    assert 'exceeds limit' in found['bomb.png']
    page = (tmp_path / 'page.html').read_text()
    assert 'text.png' in page and len(page) < 3_000_000


@pytest.mark.parametrize(
    'step',
    [
        dict(type='ResizeEdge', scale=256),
        dict(type='ResizeEdge', scale=256, edge='width'),
        dict(type='Pad', pad_to_square=True),
    ],
)
def test_a_narrow_image_is_a_row_with_an_error(tmp_path, step):
    """A few bytes, of which preparing would make gigabytes."""
    cv2.imwrite(str(tmp_path / 'narrow.png'), np.zeros((60_000, 1), np.uint8))
    cv2.imwrite(str(tmp_path / 'wide.png'), np.zeros((20, 400), np.uint8))
    reader = ImageReader([step, dict(type='CenterCrop', crop_size=224)])
    image = reader[Found(str(tmp_path / 'narrow.png'))]
    assert image[1].startswith('an image of 1 x 60000 would be prepared with')
    assert reader[Found(str(tmp_path / 'wide.png'))][1] == ''


def test_orientation_is_followed(tmp_path):
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # Upside down.
    Image.fromarray(image).save(tmp_path / 'turned.jpg', exif=exif, quality=100)
    found = ImageReader([])[Found(str(tmp_path / 'turned.jpg'))][2]
    assert found[:, :, :6].max() < 30 and found[:, :, 10:].min() > 225


def test_shapes_may_differ_in_a_batch(tmp_path):
    for number, shape in enumerate([(5, 7, 3), (9, 4, 3), (5, 7, 3)]):
        cv2.imwrite(
            str(tmp_path / f'{number}.png'), np.full(shape, number, np.uint8)
        )
    found = find_images([str(tmp_path)])
    (batch,) = read_images(found, ImageReader([]), 8, num_workers=0)
    assert batch.places == {(3, 5, 7): [0, 2], (3, 9, 4): [1]}
    assert batch.images[3, 5, 7][1].unique().tolist() == [2]


@pytest.mark.slow
def test_a_killed_run_goes_on(published, photos, tmp_path):
    command = [sys.executable, '-m', 'mmghm', 'predict', str(published)]
    command += [str(photos), '--batch-size', '1', '--workers', '0']
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    for out, more in (('a.csv', []), ('b.csv', ['--prior', 'estimate'])):
        process = subprocess.Popen(
            [*command, '--out', out, *more],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        partial, deadline = tmp_path / f'{out}.partial', time.time() + 120
        while not partial.exists() or partial.read_bytes().count(b'\n') < 20:
            assert process.poll() is None and time.time() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = partial.read_bytes().count(b'\n') - 1
        assert 0 < done < 367
        # A line that the kill cut off.
        with open(partial, 'a') as file:
            file.write('{"path": "ha')
        again = subprocess.run(
            [*command, '--out', out, *more],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        assert again.returncode == 0, again.stderr
        resumed = int(re.search(r'(\d+) of them before', again.stderr)[1])
        assert abs(resumed - done) <= 1
        whole = subprocess.run(
            [*command, '--out', f'whole_{out}', *more], cwd=tmp_path, env=env
        )
        assert whole.returncode == 0
        assert (tmp_path / out).read_bytes() == (
            tmp_path / f'whole_{out}'
        ).read_bytes()
    assert not list(tmp_path.glob('*.partial')) + list(
        tmp_path.glob('*.logits')
    )


def test_another_run_is_not_continued(published, photos, tmp_path, monkeypatch):
    out = tmp_path / 'out.csv'
    PredictionWriter(out, dict(model='other'))
    with pytest.raises(UserError, match='another model'):
        call(tmp_path, monkeypatch, published, photos, '--out', out)
    (tmp_path / 'out.csv.partial').unlink()
    call(tmp_path, monkeypatch, published, photos / '3', '--out', out)
    with pytest.raises(UserError, match='exists'):
        call(tmp_path, monkeypatch, published, photos / '3', '--out', out)
    journal = PredictionWriter(tmp_path / 'b.csv', dict(model='same'))
    journal.append([dict(path='a'), dict(path='b')])
    with pytest.raises(UserError, match='another process writes'):
        PredictionWriter(tmp_path / 'b.csv', dict(model='same'))
    # As the end of the process does.
    journal.lock.release()
    again = PredictionWriter(tmp_path / 'b.csv', dict(model='same'))
    assert again.num_done == 2
    again.check_order(iter(['a', 'b', 'c']))
    with pytest.raises(UserError, match='other images'):
        again.check_order(iter(['a', 'c']))
    with pytest.raises(UserError, match='must end in'):
        PredictionWriter(tmp_path / 'b.xlsx', {})


def test_standard_input(published, photos, tmp_path):
    names = b'\n'.join(os.fsencode(p) for p in sorted((photos / '1').iterdir()))
    done = subprocess.run(
        [sys.executable, '-m', 'mmghm', 'predict', str(published), '-'],
        input=names,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / 'predictions.csv')
    assert [r['path'].encode() for r in rows] == names.split(b'\n')


def test_priors(published, photos, tmp_path, monkeypatch):
    model = load_deployed(str(published))
    calibration = model.calibration
    counts = np.array(calibration.class_counts)
    np.testing.assert_allclose(
        known_prior(calibration, 'train'), counts / counts.sum()
    )
    (tmp_path / 'shares.txt').write_text('0\n' * 9 + '2\n')
    prior = known_prior(calibration, str(tmp_path / 'shares.txt'))
    assert prior.tolist() == [0] * 9 + [1]
    call(
        tmp_path,
        monkeypatch,
        *(published, photos / '1', '--prior', 'shares.txt', '--top', 2),
    )
    rows = rows_of('predictions.csv')
    assert {(r['label'], r['probability']) for r in rows} == {('9', '1.0')}
    for text in (
        '1\n',
        'x\n' * 10,
        '-1\n' * 10,
        '0\n' * 10,
        'nan\n' * 10,
        '1e308\n' * 10,
    ):
        (tmp_path / 'shares.txt').write_text(text)
        with pytest.raises(UserError, match=r'shares\.txt'):
            known_prior(calibration, str(tmp_path / 'shares.txt'))
    with pytest.raises(UserError, match='uniform, train, estimate'):
        known_prior(calibration, 'unifrom')
    calibration.trained_prior = None
    with pytest.raises(UserError, match='trained toward'):
        known_prior(calibration, 'uniform')


def test_abstention(published, photos, tmp_path, monkeypatch):
    model = load_deployed(str(published))
    answers = model.calibration.answers
    thresholds = abstention(model, None, 0.9)
    assert set(thresholds) == {'many', 'medium', 'few', 'rare'}
    for group, threshold in thresholds.items():
        curve = answers[group]
        if np.isfinite(threshold):
            place = curve['threshold'].index(threshold)
            assert curve['risk'][place] <= 0.1
    call(
        tmp_path,
        monkeypatch,
        *(published, photos, '--abstain-below', 0.6, '--html', 'page.html'),
    )
    rows = rows_of('predictions.csv')
    for row in rows:
        assert (row['abstained'] == 'True') == (float(row['probability']) < 0.6)
    assert {row['abstained'] for row in rows} == {'True', 'False'}
    assert 'abstained' in (tmp_path / 'page.html').read_text()
    model.calibration.answers = {}
    with pytest.raises(UserError, match='--calibrate-on'):
        abstention(model, None, 0.9)


def test_a_config_with_its_checkpoint(trained, photos, tmp_path, monkeypatch):
    config, checkpoint = trained
    call(
        tmp_path,
        monkeypatch,
        *(config, photos / '2', '--checkpoint', checkpoint),
    )
    assert len(rows_of('predictions.csv')) == len(
        list((photos / '2').iterdir())
    )
    with pytest.raises(UserError, match='needs --checkpoint'):
        load_deployed(config)


def test_rows_are_bounded_and_names_escaped(published):
    model = load_deployed(str(published))
    model.classes = [f'<script>{i}</script>' for i in range(10)]
    (row,) = prediction_rows(
        model, None, 99, {}, ['a'], [''], np.zeros((1, 10))
    )
    assert len([k for k in row if k.startswith('label')]) == 10
    from mmghm.deploy.page import Gallery, render

    gallery = Gallery(['many', 'medium', 'few', 'rare'])
    for _ in gallery.see([row] * 1000):
        pass
    page = render(gallery, '<b>', '<i>')
    assert '<script>' not in page and '&lt;script&gt;' in page
    assert page.count('<figure') == 24 * 3


def test_a_prior_is_known_by_its_content(
    published, photos, tmp_path, monkeypatch
):
    def kill(*_):
        raise KeyboardInterrupt

    file = tmp_path / 'prior.txt'
    options = (photos / '3', '--out', tmp_path / 'out.csv', '--prior', file)
    file.write_text('1\n' * 10)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(PredictionWriter, 'finish', kill)
        call(tmp_path, patched, published, *options)
    file.write_text('1\n' * 9 + '2\n')
    with pytest.raises(UserError, match='other options'):
        call(tmp_path, monkeypatch, published, *options)


def test_a_prior_can_name_the_classes(published, tmp_path):
    model = load_deployed(str(published))
    file = tmp_path / 'prior.txt'
    lines = [f'{name},{1 + int(name)}' for name in reversed(model.classes)]
    file.write_text('\n'.join(lines))
    prior = known_prior(model.calibration, str(file), model.classes)
    assert prior.tolist() == pytest.approx([(1 + i) / 55 for i in range(10)])
    file.write_text('\n'.join(lines[1:]))
    with pytest.raises(UserError, match=r'each of the 10 classes once; see .9'):
        known_prior(model.calibration, str(file), model.classes)


def test_outputs_are_checked_before_any_work(
    published, photos, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match=r'--out and --html are both a\.csv'):
        call(
            *(tmp_path, monkeypatch, 'nowhere', photos),
            *('--out', 'a.csv', '--html', './a.csv'),
        )
    call(
        *(tmp_path, monkeypatch, published, photos / '3'),
        *('--out', 'a.csv', '--html', 'new/folder/a.html'),
    )
    assert (tmp_path / 'new/folder/a.html').stat().st_size > 1000


def test_only_regular_files_are_images(
    published, photos, tmp_path, monkeypatch
):
    folder = tmp_path / 'images'
    folder.mkdir()
    shutil.copy(next((photos / '3').iterdir()), folder / 'a.png')
    os.mkfifo(folder / 'b.png')
    (folder / 'locked').mkdir(mode=0)
    call(tmp_path, monkeypatch, published, folder, '--out', 'a.csv')
    rows = rows_of(tmp_path / 'a.csv')
    errors = {os.path.basename(row['path']): row['error'] for row in rows}
    assert errors['a.png'] == '' and errors['b.png'] == 'no regular file'
    if os.getuid():
        assert errors['locked'] == 'cannot be read: Permission denied'


def test_a_partial_file_without_its_first_line_is_begun_again(tmp_path):
    (tmp_path / 'out.csv.partial').write_text('')
    writer = PredictionWriter(tmp_path / 'out.csv', dict(model='a'))
    writer.append([dict(path='a')])
    writer.finish(writer.rows(), dict(path=str))
    assert (tmp_path / 'out.csv').read_text().split() == ['path', 'a']
    assert [p.name for p in tmp_path.iterdir()] == ['out.csv']
