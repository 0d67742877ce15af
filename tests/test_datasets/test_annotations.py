"""Annotations as arrays: the same as line by line, once per machine."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mmghm.datasets import ImageList, INaturalist, LongTailDataset
from mmghm.datasets.annotations.annotation_table import (
    AnnotationError,
    AnnotationTable,
)
from mmghm.datasets.annotations.cached_mmap import cache_folder, cached_mmap
from mmghm.datasets.annotations.text_reader import parse_lines
from mmghm.datasets.inaturalist import _find

from ..conftest import ROOT


def parse_slowly(text, num_classes):
    """What parse_lines and check do, a line at a time."""
    line_of, found = {}, []
    for number, line in enumerate(text.split(b'\n'), start=1):
        line = line.strip(b' \t\r\v\f')
        if not line:
            continue
        path, *rest = line.rsplit(None, 1)
        label = b''.join(rest)
        if not label.isdigit() or len(label) > 9:
            return number
        if int(label) >= num_classes:
            return number
        found.append((path, int(label), number))
    for path, _, number in found:
        if path.startswith(b'/') or b'..' in path.split(b'/'):
            return number
        if b'://' in path:
            return number
    for path, _, number in found:
        if line_of.setdefault(path, number) != number:
            return number
    return found


PIECES = [
    b'a',
    b'b/c',
    b'..',
    b'/',
    b'\xff',
    b' ',
    b'\t',
    b'\r',
    b'.',
    b'long' * 9,
    b'x://',
    b':',
]
LINES = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=4).map(b''.join),
    st.tuples(
        st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map(b''.join),
        st.sampled_from([b' ', b'\t', b'  ']),
        st.sampled_from([b'0', b'1', b'42', b'9', b'007', b'x', b'1234567890']),
        st.sampled_from([b'', b'\r', b' ']),
    ).map(b''.join),
)


@settings(max_examples=2000, derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=5).map(b'\n'.join))
def test_lists_are_read_as_line_by_line(text):
    check_parsed(text)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=5).map(b'\n'.join))
def test_lists_are_read_by_chunks(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmghm.datasets.annotations.text_reader._CHUNK', 8)
        patch.setattr('mmghm.datasets.annotations.annotation_table._CHUNK', 2)
        check_parsed(text)


def check_parsed(text):
    expected = parse_slowly(text, 50)
    try:
        records = parse_lines(text, 50).check()
    except AnnotationError as error:
        assert error.line == expected
        return
    assert [
        (
            records.path(i).encode('utf-8', 'surrogateescape'),
            int(records.labels[i]),
            records.line(i),
        )
        for i in range(len(records.labels))
    ] == expected


def test_paths_of_equal_hash_are_no_duplicates(monkeypatch):
    monkeypatch.setattr(
        'mmghm.datasets.annotations.annotation_table._hashes',
        lambda data, starts, ends: np.zeros(len(starts), dtype=np.uint64),
    )
    parse_lines(b'a 0\nb 0\n').check()
    with pytest.raises(AnnotationError, match="'a' is listed in line 1 too"):
        parse_lines(b'a 0\nb 0\na 1\n').check()


def test_hashes_differ_for_paths_that_differ_anywhere():
    paths = ['x' * 40 + str(i) + 'y' * 40 for i in range(20_000)]
    paths += ['x' * n for n in range(1, 100)]
    AnnotationTable.from_paths(paths, np.zeros(len(paths))).check()


def test_a_nul_in_a_path_is_refused():
    with pytest.raises(AnnotationError, match=r"'a\\x00b' holds a NUL"):
        AnnotationTable.from_paths(['c', 'a\0b'], np.zeros(2))


def test_mmengines_subsets(tmp_path):
    (tmp_path / 'a.txt').write_text('a 0\n\nb 1\nc 2\nd 3\n')
    data = ImageList('a.txt', str(tmp_path), pipeline=[])
    lines = [5, 1]
    subset = data.get_subset([3, 0])
    assert subset.get_gt_labels().tolist() == [3, 0]
    assert [subset[i]['source'][-1] for i in (0, 1)] == [str(n) for n in lines]
    assert data.get_subset(-1)[0]['img_path'] == f'{tmp_path}/d'
    assert len(data) == 4 and data[-1]['sample_idx'] == 3
    with pytest.raises(IndexError):
        data.get_data_info(4)
    few = ImageList('a.txt', str(tmp_path), pipeline=[], indices=2)
    assert [few[i]['source'][-1] for i in range(len(few))] == ['1', '3']
    data.get_subset_([2])
    assert data.get_gt_labels().tolist() == [2]


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A list that is long enough to be shared, and several processes."""
    monkeypatch.setenv('MMGHM_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(
        'mmghm.datasets.listed_images.get_world_size', lambda: 2
    )
    with open(tmp_path / 'train.txt', 'w') as file:
        for index in range(200_000):
            file.write(f'images/of/one/class/{index:08d}.jpg {index % 7}\n')
    return tmp_path


def test_a_long_list_is_read_once(large, monkeypatch):
    first = ImageList('train.txt', str(large), pipeline=[])
    (path,) = cache_folder().glob('*.pt')
    assert oct(cache_folder().stat().st_mode)[-3:] == '700'

    def fail(*args, **kwargs):
        raise AssertionError('read a second time')

    monkeypatch.setattr('mmghm.datasets.image_list.parse_lines', fail)
    second = ImageList('train.txt', str(large), pipeline=[])
    assert np.array_equal(first.get_gt_labels(), second.get_gt_labels())
    assert first[199_999] == second[199_999]
    # Workers that are not forked get the file's name.
    sent = pickle.dumps(second)
    assert len(sent) < 10_000
    assert pickle.loads(sent)[5] == first[5]
    # Another bound on the labels, or another file, is another list.
    with pytest.raises(AssertionError, match='second'):
        ImageList('train.txt', str(large), num_classes=7, pipeline=[])
    with open(large / 'train.txt', 'a') as file:
        file.write('new.jpg 0\n')
    with pytest.raises(AssertionError, match='second'):
        ImageList('train.txt', str(large), pipeline=[])
    assert list(cache_folder().glob('*.pt')) == [path]


def test_one_process_shares_when_it_sends_its_annotations(large, monkeypatch):
    monkeypatch.setattr(
        'mmghm.datasets.listed_images.get_world_size', lambda: 1
    )
    data = ImageList('train.txt', str(large), pipeline=[])
    assert not (large / 'cache').exists()
    sent = pickle.dumps(data)
    assert len(sent) < 10_000 and len(list(cache_folder().glob('*.pt'))) == 1
    assert pickle.loads(sent)[199_999] == data[199_999]
    part = pickle.loads(pickle.dumps(data.get_subset([3, 1])))
    assert [part[i] for i in range(2)] == [
        {**data[j], 'sample_idx': i} for i, j in enumerate((3, 1))
    ]


def test_workers_that_are_not_forked(large):
    data = ImageList('train.txt', str(large), pipeline=[])
    loader = DataLoader(
        LongTailDataset(data, class_counts=[1] * 7),
        num_workers=1,
        multiprocessing_context='spawn',
        collate_fn=list,
    )
    labels = sorted(batch[0]['gt_label'] for batch in loader)
    assert labels == list(range(7))


@pytest.mark.parametrize('end', [0, 100_000])
def test_old_and_damaged_files_are_replaced(large, end):
    ImageList('train.txt', str(large), pipeline=[])
    (path,) = cache_folder().glob('*.pt')
    whole = path.read_bytes()
    path.write_bytes(whole[:end])
    stale = path.with_name(f'{0:032x}.pt')
    # The user's own, where it does not belong.
    model = path.with_name('best.pt')
    for old in (stale, model, path.parents[1] / f'{1:032x}.pt'):
        old.write_bytes(b'')
        os.utime(old, (0, 0))
    data = ImageList('train.txt', str(large), pipeline=[])
    assert data[7]['img_path'].endswith('00000007.jpg')
    assert set(cache_folder().glob('*.pt')) == {path, model}
    assert (path.parents[1] / f'{1:032x}.pt').exists()
    assert path.stat().st_size == len(whole)


def test_two_processes_delete_an_old_file_at_once(large, monkeypatch):
    old = cache_folder() / f'{0:032x}.pt'
    old.write_bytes(b'')
    os.utime(old, (0, 0))
    unlink = Path.unlink

    def second(path, **kwargs):
        unlink(path, missing_ok=True)
        unlink(path, **kwargs)

    monkeypatch.setattr(Path, 'unlink', second)
    ImageList('train.txt', str(large), pipeline=[])
    (made,) = cache_folder().glob('*.pt')
    assert made != old


@pytest.mark.parametrize('end', [0, 10, 1000, -5])
def test_a_small_damaged_file_is_replaced(monkeypatch, tmp_path, end):
    monkeypatch.setenv('MMGHM_CACHE', str(tmp_path))

    def make():
        return dict(numbers=np.arange(1000))

    _, path = cached_mmap([b'content'], 'settings', make)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:end])
    made, again = cached_mmap([b'content'], 'settings', make)
    assert (made['numbers'].sum(), again) == (499_500, path)
    assert Path(path).read_bytes() == whole


def test_a_damaged_file_is_not_used(large):
    ImageList('train.txt', str(large), pipeline=[])
    (path,) = cache_folder().glob('*.pt')
    whole = path.read_bytes()
    place = len(whole) // 2
    path.write_bytes(whole[:place] + bytes(8192) + whole[place + 8192 :])
    data = ImageList('train.txt', str(large), pipeline=[])
    assert data.get_gt_labels().tolist() == [i % 7 for i in range(200_000)]
    assert path.read_bytes() == whole


def test_a_cache_that_others_could_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv('MMGHM_CACHE', str(tmp_path))
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'annotations').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(PermissionError, match=r'is a link.*MMGHM_CACHE'):
        cache_folder()
    (tmp_path / 'annotations').unlink()
    (tmp_path / 'annotations').mkdir(mode=0o777)
    (tmp_path / 'annotations/mine.txt').write_text('')
    with pytest.raises(FileExistsError, match='did not write'):
        cache_folder()
    (tmp_path / 'annotations/mine.txt').unlink()
    assert oct(cache_folder().stat().st_mode)[-3:] == '700'


def test_a_cache_that_cannot_be_written_is_named(large, monkeypatch):
    (large / 'cache').write_text('a file where a folder should be')
    messages = []
    logger = MMLogger.get_instance('test_shared')
    monkeypatch.setattr(logger, 'log', lambda _, text: messages.append(text))
    data = ImageList('train.txt', str(large), pipeline=[])
    assert len(data) == 200_000
    assert 'Each process keeps a copy' in messages[0]
    assert len(pickle.loads(pickle.dumps(data))) == 200_000


READ = """
import sys, time
from mmghm.datasets import ImageList
import mmghm.datasets.image_list as module
import mmghm.datasets.listed_images
mmghm.datasets.listed_images.get_world_size = lambda: 3
parse = module.parse_lines
def slow(*args, **kwargs):
    print('parsed')
    time.sleep(3)
    return parse(*args, **kwargs)
module.parse_lines = slow
print(len(ImageList('train.txt', sys.argv[1], pipeline=[])))
"""


def test_processes_that_start_together_read_once(large):
    started = [
        subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', READ, str(large)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=120)[0] for process in started]
    # The continuation of OpenMMLab's packages prints lines of its own.
    words = [
        word
        for word in ''.join(printed).split()
        if word == 'parsed' or word.isdigit()
    ]
    assert sorted(words) == ['200000'] * 3 + ['parsed']


def test_a_bad_line_of_a_long_list_is_named(large):
    with open(large / 'train.txt', 'a') as file:
        file.write('new.jpg\n')
    with pytest.raises(ValueError, match=r'train\.txt, line 200001: expected'):
        ImageList('train.txt', str(large), pipeline=[])
    assert not list(cache_folder().glob('*.pt'))


@pytest.mark.parametrize('seed', range(20))
def test_ids_are_found(seed):
    random = np.random.default_rng(seed)
    known = (
        random.permutation(30)[: random.integers(0, 31)] * (seed % 3 + 1) - 4
    )
    wanted = random.integers(-10, 90, 50)
    places = {number: place for place, number in enumerate(known.tolist())}
    expected = [places.get(number, -1) for number in wanted.tolist()]
    assert _find(wanted, known).tolist() == expected
    assert _find(known, known).tolist() == list(range(len(known)))


def test_annotations_in_any_order(tmp_path):
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg') for i in (5, 3, 9)],
        categories=[dict(id=2, name='b'), dict(id=1, name='a')],
        annotations=[
            dict(image_id=i, category_id=c) for i, c in ((9, 1), (5, 2), (3, 1))
        ],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    data = INaturalist('a.json', data_root=str(tmp_path), pipeline=[])
    found = [
        (os.path.basename(data[i]['img_path']), data[i]['gt_label'])
        for i in range(3)
    ]
    assert found == [('9.jpg', 0), ('5.jpg', 1), ('3.jpg', 0)]
    assert LongTailDataset(data, profile='none').class_counts.tolist() == [2, 1]
    content['images'].append(dict(id=9, file_name='other.jpg'))
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='the id 9 stands for several'):
        INaturalist('a.json', data_root=str(tmp_path), pipeline=[])
    del content['images'][3]
    for wrong in (7, None, ['5.jpg'], '\ud800'):
        content['images'][1]['file_name'] = wrong
        (tmp_path / 'a.json').write_text(json.dumps(content))
        with pytest.raises(ValueError, match='a path must be text, got'):
            INaturalist('a.json', data_root=str(tmp_path), pipeline=[])
    for text, match in (
        ('{', 'no JSON: Expecting'),
        ('[]', 'expected JSON with images'),
        ('{"images": [{}], "annotations": []}', "KeyError: 'file_name'"),
    ):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(ValueError, match=rf'a\.json: .*{match}'):
            INaturalist('a.json', data_root=str(tmp_path), pipeline=[])
