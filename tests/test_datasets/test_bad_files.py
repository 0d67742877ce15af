"""Broken lists and images are named, or skipped and counted on request."""

import os

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmghm.datasets import ImageList, LoadCheckedImage, LongTailDataset

SHAPE = (32, 32, 3)


def write_image(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(colour).integers(0, 255, SHAPE)
    assert cv2.imwrite(str(path), noise.astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Eight images of two classes, and their list."""
    lines = []
    for number in range(8):
        name = f'images/{number}.{"png" if number % 2 else "jpg"}'
        write_image(tmp_path / name, number)
        lines.append(f'{name} {int(number > 5)}')
    (tmp_path / 'train.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path


def image_list(folder, skip=False, **kwargs):
    load = dict(type=LoadCheckedImage, ignore_empty=skip)
    return ImageList('train.txt', str(folder), pipeline=[load], **kwargs)


def test_reads_a_list(folder):
    dataset = image_list(folder)
    assert dataset.get_gt_labels().tolist() == [0] * 6 + [1] * 2
    assert all(dataset[i]['img'].shape == SHAPE for i in range(8))
    tail = LongTailDataset(dataset, class_counts=[3, 2])
    assert tail.class_counts.tolist() == [3, 2]


def test_reads_crlf_blank_lines_tabs_and_blanks_in_names(folder):
    write_image(folder / 'a b.jpg')
    (folder / 'train.txt').write_bytes(b'images/0.jpg 1\r\n\r\na b.jpg\t0\r\n')
    dataset = image_list(folder)
    assert [os.path.basename(dataset[i]['img_path']) for i in (0, 1)] == [
        '0.jpg',
        'a b.jpg',
    ]
    assert dataset.get_gt_labels().tolist() == [1, 0]


def test_reads_names_that_are_not_utf8(folder):
    name = b'caf\xe9.jpg'
    os.rename(bytes(folder / 'images/0.jpg'), os.path.join(bytes(folder), name))
    (folder / 'train.txt').write_bytes(name + b' 0\n')
    assert image_list(folder)[0]['img'].shape == SHAPE


@pytest.mark.parametrize(
    'line, match',
    [
        ('images/1.png', 'expected "path label"'),
        ('images/1.png one', 'expected "path label"'),
        ('images/1.png -1', 'expected "path label"'),
        ('images/1.png 1.0', 'expected "path label"'),
        ('images/1.png ²', 'expected "path label"'),
        ('images/1.png 2', 'label 2 is not below 2 classes'),
        ('images/0.jpg 0', "'images/0.jpg' is listed in line 1 too"),
        ('../secret.png 0', "'../secret.png' leads out of"),
        ('images/../../secret.png 0', 'leads out of'),
        ('/etc/passwd 0', "'/etc/passwd' leads out of"),
        ('http://127.0.0.1:9/a.png 0', 'leads out of'),
        ('shard:///etc/passwd#0+50 0', 'leads out of'),
    ],
)
def test_a_bad_line_is_named(folder, line, match):
    (folder / 'train.txt').write_text(f'images/0.jpg 0\n\n{line}\n')
    with pytest.raises(ValueError, match=rf'train\.txt, line 3: .*{match}'):
        image_list(folder, num_classes=2)


def spoil(path, how):
    content = path.read_bytes()
    if how == 'missing':
        path.unlink()
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'truncated':
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(b'<html>404 Not Found</html>')


@pytest.mark.parametrize('name', ['0.jpg', '1.png'])
@pytest.mark.parametrize('how', ['missing', 'empty', 'truncated', 'no image'])
def test_a_broken_image_is_named(folder, name, how):
    spoil(folder / 'images' / name, how)
    number = int(name[0])
    match = rf'images/{name} \(.*train\.txt, line {number + 1}\): '
    with pytest.raises(ValueError, match=match):
        image_list(folder)[number]


def test_something_after_a_whole_image_is_no_fault(folder):
    for name in ('0.jpg', '1.png'):
        path = folder / 'images' / name
        path.write_bytes(path.read_bytes() + b'\0\0trailer')
    dataset = image_list(folder)
    assert dataset[0]['img'].shape == dataset[1]['img'].shape == SHAPE


def test_skipped_images_are_counted_and_replaced_by_their_class(
    folder, monkeypatch
):
    for name in ('0.jpg', '2.jpg', '6.jpg'):
        spoil(folder / 'images' / name, 'truncated')
    logger = MMLogger.get_instance('test_skipped')
    messages = []
    monkeypatch.setattr(logger, 'log', lambda _, text: messages.append(text))
    tail = LongTailDataset(image_list(folder, skip=True), class_counts=[6, 2])
    labels = [tail[i]['gt_label'] for i in range(8)]
    assert labels == [0] * 6 + [1] * 2
    paths = [os.path.basename(tail[i]['img_path']) for i in range(8)]
    assert paths[6] == paths[7] == '7.png'
    assert not {'0.jpg', '2.jpg', '6.jpg'} & set(paths)
    # Each was met twice above.
    skipped = [text for text in messages if text.startswith('Skipped')]
    assert len(skipped) == 6
    assert skipped[-1].startswith('Skipped 6 so far: cannot read image')


def test_a_class_without_a_readable_image_is_named(folder):
    for name in ('6.jpg', '7.png'):
        spoil(folder / 'images' / name, 'empty')
    tail = LongTailDataset(image_list(folder, skip=True), class_counts=[6, 2])
    with pytest.raises(ValueError, match='no image of class 1 can be read'):
        tail[6]
