"""Parquet tables."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmghm.datasets import ImageTable


def write(folder, **columns):
    path = folder / 'train.parquet'
    # Several row groups, as large files have.
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


NAMES = ['wolf', 'ant', 'wolf', 'bee']


@pytest.mark.parametrize(
    'labels',
    [
        NAMES,
        pa.array(NAMES).dictionary_encode(),
        pa.array(NAMES, pa.large_string()),
    ],
    ids=['strings', 'dictionary', 'large'],
)
def test_names(tmp_path, labels):
    path = write(tmp_path, path=['a', 'sub/é b', 'c', 'd'], label=labels)
    data = ImageTable(path.name, str(tmp_path), pipeline=[])
    assert data.metainfo['classes'] == ('ant', 'bee', 'wolf')
    assert data.get_gt_labels().tolist() == [2, 0, 2, 1]
    assert data[1]['img_path'] == f'{tmp_path}/sub/é b'


def test_integers_and_other_columns(tmp_path):
    path = write(
        tmp_path, file=['a', 'b', 'c'], species=[4, 0, 4], other=[1.5] * 3
    )
    data = ImageTable(
        path.name,
        str(tmp_path),
        path_column='file',
        label_column='species',
        pipeline=[],
    )
    assert data.metainfo['classes'] == tuple('01234')
    assert data.get_gt_labels().tolist() == [4, 0, 4]


def test_integers_written_as_fractions_are_integers(tmp_path):
    for label in ([1.0, 0.0, 1.0], ['1.0', '0', '1']):
        path = write(tmp_path, path=['a', 'b', 'c'], label=label)
        data = ImageTable(path.name, str(tmp_path), pipeline=[])
        assert data.metainfo['classes'] == ('0', '1')
        assert data.get_gt_labels().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    'columns, match',
    [
        (dict(path=['a']), "no column 'label' among"),
        (dict(path=['a', None], label=[0, 1]), "'path' holds nulls"),
        (dict(path=['a', 'a'], label=[0, 1]), "'a' is listed twice"),
        (dict(path=['a', '../b'], label=[0, 1]), r"'\.\./b' leads out"),
        (dict(path=['', 'b'], label=[0, 1]), "'' leads out"),
        (dict(path=['a\0b'], label=[0]), r"'a\\x00b' holds a NUL"),
        (dict(path=[], label=[]), 'lists no image'),
        (dict(path=['a', 'b'], label=['x', '']), 'a label is blank'),
        (dict(path=['a', 'b'], label=['1', 'nan']), "'nan' among labels"),
        (dict(path=['a', 'b'], label=[1, -1]), "'-1' among labels"),
        (dict(path=['a', 'b'], label=[1.0, 0.5]), 'train.parquet: '),
        (dict(path=['a', 'b'], label=[1.0, float('nan')]), 'train.parquet: '),
        (dict(path=[['a']], label=[0]), 'train.parquet: '),
    ],
)
def test_what_is_wrong_is_named(tmp_path, columns, match):
    path = write(tmp_path, **columns)
    with pytest.raises(ValueError, match=match):
        ImageTable(path.name, str(tmp_path), pipeline=[])


def test_no_parquet_file_is_named(tmp_path):
    (tmp_path / 'a.parquet').write_bytes(b'<html>404</html>')
    with pytest.raises(ValueError, match=r'a\.parquet: '):
        ImageTable('a.parquet', str(tmp_path), pipeline=[])
