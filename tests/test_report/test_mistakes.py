"""What a report says of mistakes."""

import cv2
import numpy as np

from mmghm.deploy.page import thumbnail
from mmghm.report.mistakes import find_mistakes

NAMES = ['ant', 'bee', 'cat', 'dog']


def test_the_worst_come_first(tmp_path):
    image = tmp_path / 'cat <1>.png'
    cv2.imwrite(str(image), np.zeros((300, 200, 3), np.uint8))
    rows = [
        # label, prediction, confidence
        *[(0, 0, 0.9)] * 4,
        *[(1, 0, 0.6)] * 3,
        *[(1, 1, 0.9)] * 1,
        (2, 0, 0.7),
        (2, 3, 0.99),
    ]
    label, prediction, confidence = map(np.array, zip(*rows))
    paths = np.array(['gone.png'] * 9 + [str(image)])
    found = find_mistakes(
        dict(
            label=label,
            prediction=prediction,
            confidence=confidence,
            image=paths,
        ),
        NAMES,
        np.array([50, 40, 30, 20]),
    )
    assert found['classes'] == [
        ['cat', 30, 2, 0.0, 'ant'],
        ['bee', 40, 4, 25.0, 'ant'],
    ]
    assert found['pairs'] == [
        ['bee', 'ant', 3, 75.0],
        ['cat', 'ant', 1, 50.0],
        ['cat', 'dog', 1, 50.0],
    ]
    first, second = found['images'][:2]
    assert first[0].startswith('data:image/jpeg;base64,')
    assert first[1:] == ['cat <1>.png', 'cat', 'dog', 99.0]
    assert second == ['', 'gone.png', 'cat', 'ant', 70.0]


def test_files_of_strangers_are_no_pictures(tmp_path):
    text = tmp_path / 'secret'
    text.write_text('not an image')
    for path in (text, tmp_path, '/dev/zero', tmp_path / 'none', 'a\0b'):
        assert thumbnail(str(path), 100) == ''


def test_a_narrow_image_has_a_picture(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((3000, 1), np.uint8))
    assert thumbnail(str(tmp_path / 'a.png'), 100).startswith('data:image/jpeg')
