"""Class folders and CSV files: one config, no code."""

import csv
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmghm.datasets import ImageTable, find_own_images

from ..conftest import run_command, run_program


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Train shortly as docs/own_data.md says; gives what was printed."""

    def run(data_root, *options, pretrained='none', **variables):
        variables.update(
            DATA_ROOT=str(data_root),
            PRETRAINED=pretrained,
            BACKBONE='resnet18_8xb32_in1k',
            IMAGE_SIZE='32',
        )
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        status, printed = run_command(
            *('train', 'own_data/fine_tuning', '--work-dir', 'run'),
            *(
                '--cfg-options',
                'train_cfg.max_epochs=1',
                'param_scheduler=None',
            ),
            'val_dataloader.num_workers=0',
            'train_dataloader.num_workers=0',
            *options,
            cwd=tmp_path,
        )
        assert status == 0, printed[-3000:]
        return printed

    return run


def write_table(path, rows, header=('path', 'label')):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope='module')
def table(tmp_path_factory, class_folders):
    """The same images with a train.csv of class names."""
    folder = tmp_path_factory.mktemp('table')
    shutil.copytree(class_folders / 'train', folder / 'images')
    images = sorted((folder / 'images').glob('*/*'))
    rows = [(p.relative_to(folder), p.parent.name) for p in images]
    write_table(folder / 'train.csv', rows)
    return folder


@pytest.mark.slow
def test_class_folders_without_a_val_folder(train, class_folders, tmp_path):
    printed = train(class_folders)
    # 62 images; of 16, 8, 4 and 2 a class one or two are held out.
    assert 'Train set: 52 images of 10 classes' in printed
    assert (tmp_path / 'run/epoch_1.pth').exists()
    assert 'Accuracy by class group' in printed


def test_class_folders_with_a_val_folder(train, class_folders, tmp_path):
    shutil.copytree(class_folders / 'train', tmp_path / 'photos/train')
    shutil.copytree(class_folders / 'test', tmp_path / 'photos/val')
    printed = train('photos')
    assert 'Train set: 62 images of 10 classes' in printed


def build(settings):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dict(settings, pipeline=[]))


def test_tables(table, tmp_path):
    rows = list(csv.reader((table / 'train.csv').open()))[1:]
    paths, labels = zip(*rows)
    columns = pa.table(dict(path=paths, label=labels))
    (tmp_path / 'images').symlink_to(table / 'images')
    pq.write_table(columns, tmp_path / 'train.parquet')
    found = find_own_images(str(tmp_path))
    assert found.train['ann_file'] == 'train.parquet' and found.val is None
    assert found.classes == find_own_images(str(table)).classes
    parts = [build(each.train) for each in (found, find_own_images(str(table)))]
    for data in parts:
        assert len(data) == 62 and data[0]['gt_label'] == 0
    pq.write_table(columns.slice(0, 9), tmp_path / 'val.parquet')
    assert find_own_images(str(tmp_path)).val['ann_file'] == 'val.parquet'


def test_a_list(table, tmp_path):
    rows = list(csv.reader((table / 'train.csv').open()))[1:]
    number = {name: i for i, name in enumerate(dict(map(reversed, rows)))}
    lines = [f'{path} {number[label]}\n' for path, label in rows]
    (tmp_path / 'train.txt').write_text(''.join(lines))
    (tmp_path / 'val.txt').write_text(''.join(lines[::2]))
    (tmp_path / 'images').symlink_to(table / 'images')
    found = find_own_images(str(tmp_path))
    assert len(build(found.train)) == 62 and len(build(found.val)) == 31
    (tmp_path / 'train.txt').write_text('a b\n')
    with pytest.raises(ValueError, match=r'train\.txt, line 1: expected'):
        find_own_images(str(tmp_path))
    (tmp_path / 'train.txt').write_text('')
    with pytest.raises(ValueError, match=r'train\.txt lists no image'):
        find_own_images(str(tmp_path))


@pytest.mark.slow
def test_archives(train, table, tmp_path, serve):
    """From a table to archives, an address and a trained network."""
    status, printed = run_program(
        *('tools/dataset_converters/shards.py', 'make'),
        *(table / 'train.csv', tmp_path / 'out', '--data-root', table),
        *('--shard-mb', '0.01'),
    )
    assert status == 0, printed
    (tmp_path / 'lists').mkdir()
    shutil.move(tmp_path / 'out/train.txt', tmp_path / 'lists')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'out'))
    printed = train(
        'lists',
        SHARDS=serve(handler),
        MMGHM_SHARD_CACHE=str(tmp_path / 'cache'),
    )
    assert 'Train set: 52 images of 10 classes' in printed
    assert 'ShardSampler' in (tmp_path / 'run/fine_tuning.py').read_text()
    cached = {p.name[-16:] for p in (tmp_path / 'cache/shards').glob('*.tar')}
    made = {p.name[-16:] for p in (tmp_path / 'out').glob('*.tar')}
    assert cached == made and len(made) > 1


@pytest.mark.slow
def test_begins_with_a_checkpoint(train, class_folders, tmp_path):
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=18))
    torch.save(backbone.state_dict(), tmp_path / 'backbone.pth')
    printed = train(class_folders, pretrained='backbone.pth')
    assert 'load model from: backbone.pth' in printed
    assert 'The model and loaded state dict' not in printed


def test_says_what_it_looks_for(monkeypatch, tmp_path):
    monkeypatch.setenv('DATA_ROOT', 'nowhere')
    status, printed = run_command('train', 'own_data/fine_tuning', cwd=tmp_path)
    assert status == 2
    assert 'nowhere holds neither train.csv, train.parquet' in printed


def test_names_become_numbers_in_alphabetical_order(tmp_path):
    write_table(
        tmp_path / 'train.csv',
        [('a.jpg', 'wolf'), ('sub/b c.jpg', 'ant'), ('é,\u2028".jpg', 'wolf')],
    )
    data = ImageTable('train.csv', str(tmp_path), pipeline=[])
    assert data.metainfo['classes'] == ('ant', 'wolf')
    assert data.get_gt_labels().tolist() == [1, 0, 1]
    assert data[2]['img_path'] == f'{tmp_path}/é,\u2028".jpg'
    assert data[2]['source'].endswith('train.csv, line 4')


def test_integer_labels_are_kept(tmp_path):
    write_table(tmp_path / 'a.csv', [('a', '10'), ('b', '2')])
    data = ImageTable('a.csv', str(tmp_path), pipeline=[])
    assert list(data.metainfo['classes']) == [str(i) for i in range(11)]
    assert data.get_gt_labels().tolist() == [10, 2]


def test_a_validation_table_has_the_classes_of_training(tmp_path):
    write_table(tmp_path / 'train.csv', [('a', 'ant'), ('b', 'wolf')])
    write_table(tmp_path / 'val.csv', [('c', 'wolf')])
    data = ImageTable(
        'val.csv', str(tmp_path), classes_from='train.csv', pipeline=[]
    )
    assert data.get_gt_labels().tolist() == [1]


def test_other_columns_separators_and_excel(tmp_path):
    (tmp_path / 'a.csv').write_bytes(
        '\ufeffid; species ;file\r\n1;ant; a.jpg \r\n\r\n'.encode()
    )
    data = ImageTable(
        'a.csv',
        str(tmp_path),
        path_column='file',
        label_column='species',
        delimiter=';',
        pipeline=[],
    )
    assert data[0]['img_path'] == f'{tmp_path}/a.jpg'


@pytest.mark.parametrize(
    'text, match',
    [
        ('', "no column 'path', 'label'"),
        ('path;label\na;b\n', r"among \['path;label'\].*delimiter"),
        ('path,label\n', 'lists no image'),
        ('path,label\na\n', 'line 2: expected 2 fields, got 1'),
        ('path,label\na,x\na,y\n', "line 3: 'a' is listed in line 2 too"),
        ('path,label\n../a,x\n', "line 2: '../a' leads out"),
        ('path,label\n,x\n', "line 2: '' leads out"),
        ('path,label\na,x\nb,\n', 'line 3: a label is blank'),
        ('path,label\na,1\nb,-1\n', "line 3: '-1' among labels that are int"),
        ('path,label\na,1\nb,nan\n', "line 3: 'nan' among labels that"),
        ('path,label\na,"x\nb,y\n', 'no CSV: unexpected end of data'),
        ('path,label\n' + 'a' * 140_000 + ',x\n', 'no CSV: field larger'),
        ('path,label\na,20230101\nb,1\n', 'only 2 are different: .*ids'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, match):
    (tmp_path / 'a.csv').write_text(text)
    with pytest.raises(ValueError, match=match):
        ImageTable('a.csv', str(tmp_path), pipeline=[])


def test_integers_written_as_fractions_are_integers(tmp_path):
    (tmp_path / 'a.csv').write_text('path,label\na,1.0\nb,0\nc,1\n')
    data = ImageTable('a.csv', str(tmp_path), pipeline=[])
    assert data.metainfo['classes'] == ('0', '1')
    assert data.get_gt_labels().tolist() == [1, 0, 1]


def test_digits_and_letters_are_names(tmp_path):
    (tmp_path / 'a.csv').write_text('path,label\na,B\nb,7\n')
    data = ImageTable('a.csv', str(tmp_path), pipeline=[])
    assert data.metainfo['classes'] == ('7', 'B')


def test_ids_in_a_list_are_refused(tmp_path):
    (tmp_path / 'train.txt').write_text('a 20230101\nb 20230102\n')
    with pytest.raises(ValueError, match=r'train\.txt.*look like ids'):
        find_own_images(str(tmp_path))


def test_another_encoding_is_named(tmp_path):
    (tmp_path / 'a.csv').write_bytes('path,label\né,x\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'a\.csv: save it as UTF-8'):
        ImageTable('a.csv', str(tmp_path), pipeline=[])


def test_an_unknown_class_is_named(tmp_path):
    write_table(tmp_path / 'train.csv', [('a', 'ant'), ('b', 'wolf')])
    write_table(tmp_path / 'val.csv', [('c', 'wolf'), ('d', 'wlof')])
    with pytest.raises(
        ValueError, match="line 3: 'wlof', the label of 'd', is"
    ):
        ImageTable(
            'val.csv', str(tmp_path), classes_from='train.csv', pipeline=[]
        )


def test_class_folders_of_webp_images(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    for name in ('a', 'b'):
        (tmp_path / 'train' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f'train/{name}/0.webp'), image)
    found = find_own_images(str(tmp_path))
    assert len(build(found.train)) == 2
