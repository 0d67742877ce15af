"""Annotations as columns: the same as line by line, in little memory."""

import copy
import json
import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmghm.datasets import ImageList, ImageTable, INaturalist, LongTailDataset
from mmghm.datasets.tables import AnnotationError, pack_paths, read_list


def parse_slowly(text, num_classes):
    """What read_list and check do, a line at a time."""
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
        if b'://' in path or b'\0' in path:
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
    b'\0',
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


@settings(max_examples=2500, derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=5).map(b'\n'.join))
def test_lists_are_read_as_line_by_line(text):
    expected = parse_slowly(text, 50)
    try:
        table = read_list(text, 50).check()
    except AnnotationError as error:
        assert error.line == expected
        return
    assert [
        (
            table.path(i).encode('utf-8', 'surrogateescape'),
            int(table.labels[i]),
            table.line(i),
        )
        for i in range(len(table.labels))
    ] == expected


def test_a_path_that_comes_twice_is_named():
    read_list(b'a 0\nb 0\n').check()
    with pytest.raises(AnnotationError, match="'a' is listed in line 2 too"):
        read_list(b'\na 0\nb 0\nb\xff 1\na 1\nb 0\n').check()


def test_what_is_no_path_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match='must be text, got None'):
        pack_paths(['a', None])
    (tmp_path / 'a.csv').write_text('path,label\nc,0\na\0b,0\n')
    # Python 3.10's reader of CSV files refuses it by itself.
    with pytest.raises(ValueError, match=r'line 3: .*NUL'):
        ImageTable('a.csv', str(tmp_path), pipeline=[])


def test_a_byte_order_mark_is_no_part_of_a_path():
    assert read_list(b'\xef\xbb\xbfa 1\n').path(0) == 'a'


def test_mmengines_subsets(tmp_path):
    (tmp_path / 'a.txt').write_text('a 0\n\nb 1\nc 2\nd 3\n')
    data = ImageList('a.txt', str(tmp_path), pipeline=[])
    lines = [5, 1]
    subset = data.get_subset([3, 0])
    assert subset.get_gt_labels().tolist() == [3, 0]
    assert [subset[i]['source'][-1] for i in (0, 1)] == [str(n) for n in lines]
    assert data.get_subset(-1)[0]['img_path'] == f'{tmp_path}/d'
    assert len(data) == 4 and data[-1]['sample_idx'] == 3
    # MMEngine's own subsets share what they copy.
    assert data.get_subset([1]).pipeline is not subset.pipeline
    with pytest.raises(IndexError):
        data.get_data_info(4)
    few = ImageList('a.txt', str(tmp_path), pipeline=[], indices=2)
    assert [few[i]['source'][-1] for i in range(len(few))] == ['1', '3']
    data.get_subset_([2])
    assert data.get_gt_labels().tolist() == [2]


@pytest.fixture
def large(tmp_path):
    with open(tmp_path / 'train.txt', 'w') as file:
        for index in range(200_000):
            file.write(f'images/of/one/class/{index:08d}.jpg {index % 7}\n')
    return tmp_path


def size(value):
    """Bytes that a process that is not forked receives."""
    return len(pickle.dumps(value))


def test_a_long_list_takes_little_more_than_its_paths(large):
    data = ImageList('train.txt', str(large), pipeline=[])
    paths = 200_000 * len('images/of/one/class/00000000.jpg')
    assert size(data) <= 1.5 * paths
    assert data.get_gt_labels().tolist() == [i % 7 for i in range(200_000)]
    for i in range(0, 200_000, 999):
        assert data[i]['img_path'].endswith(f'/{i:08d}.jpg')
        assert data[i]['source'].endswith(f'train.txt, line {i + 1}')
    # MMEngine copies a dataset's list where it takes subsets.
    assert copy.deepcopy(data).data_list is data.data_list
    part = data.get_subset([3, 1])
    assert size(part) < 10_000
    received = pickle.loads(pickle.dumps(part))
    assert [received[i] for i in range(2)] == [
        {**data[j], 'sample_idx': i} for i, j in enumerate((3, 1))
    ]
    assert pickle.loads(pickle.dumps(data))[199_999] == data[199_999]


@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_workers(large, context):
    data = ImageList('train.txt', str(large), pipeline=[])
    loader = DataLoader(
        LongTailDataset(data, class_counts=[1] * 7),
        num_workers=1,
        multiprocessing_context=context,
        collate_fn=list,
    )
    labels = sorted(batch[0]['gt_label'] for batch in loader)
    assert labels == list(range(7))


def test_a_bad_line_of_a_long_list_is_named(large):
    with open(large / 'train.txt', 'a') as file:
        file.write('new.jpg\n')
    with pytest.raises(ValueError, match=r'train\.txt, line 200001: expected'):
        ImageList('train.txt', str(large), pipeline=[])


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
