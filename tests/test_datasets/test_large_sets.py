"""Miniatures in the official layouts."""

import json

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmghm.datasets import INaturalist, LongTailDataset, TinyImageNet

LOAD = [dict(type='mmpretrain.LoadImageFromFile')]


def write_image(path, grey=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (64, 64) if grey else (64, 64, 3)
    cv2.imwrite(str(path), np.full(shape, 128, dtype=np.uint8))


@pytest.fixture
def tiny(tmp_path):
    wnids = ['n02', 'n01', 'n03']
    (tmp_path / 'wnids.txt').write_text('\n'.join(wnids) + '\n')
    for wnid in wnids:
        for i in range(4):
            path = tmp_path / f'train/{wnid}/images/{wnid}_{i}.JPEG'
            write_image(path, grey=i == 0)
        (tmp_path / f'train/{wnid}/{wnid}_boxes.txt').write_text('')
    lines = []
    for i, wnid in enumerate(('n03', 'n01')):
        write_image(tmp_path / f'val/images/val_{i}.JPEG')
        lines.append(f'val_{i}.JPEG\t{wnid}\t0\t0\t62\t62')
    (tmp_path / 'val/val_annotations.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path


def test_tiny_imagenet(tiny):
    train = TinyImageNet(str(tiny), pipeline=LOAD)
    assert train.metainfo['classes'] == ('n01', 'n02', 'n03')
    assert train.get_gt_labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4
    # Grey images come in colour.
    assert all(train[i]['img'].shape == (64, 64, 3) for i in range(12))
    val = TinyImageNet(str(tiny), split='val', pipeline=LOAD)
    assert val.get_gt_labels().tolist() == [2, 0]
    assert val[0]['img'].shape == (64, 64, 3)
    tail = LongTailDataset(train, imbalance_factor=4)
    assert tail.class_counts.tolist() == [4, 2, 1]
    assert tail.manifest()['ids'][0].startswith('train/n01/images/')


def test_tiny_imagenet_names_a_bad_line(tiny):
    path = tiny / 'val/val_annotations.txt'
    path.write_text('val_0.JPEG\tn01\t0\nval_1.JPEG\tn99\t0\n')
    with pytest.raises(ValueError, match="line 2: unknown class 'n99'"):
        TinyImageNet(str(tiny), split='val')
    path.write_text('../../secret.JPEG\tn01\t0\n')
    with pytest.raises(ValueError, match=r'line 1: .* leads out of'):
        TinyImageNet(str(tiny), split='val')
    with pytest.raises(ValueError, match='split'):
        TinyImageNet(str(tiny), split='test')


@pytest.fixture
def inat(tmp_path):
    content = dict(
        images=[
            dict(id=7, file_name='Aves/b/1.jpg'),
            dict(id=9, file_name='Aves/a/2.jpg'),
        ],
        categories=[dict(id=30, name='b'), dict(id=4, name='a')],
        annotations=[
            dict(image_id=7, category_id=30),
            dict(image_id=9, category_id=4),
        ],
    )
    for image in content['images']:
        write_image(tmp_path / image['file_name'])
    (tmp_path / 'train.json').write_text(json.dumps(content))
    return tmp_path, content


def test_inaturalist(inat):
    root, _ = inat
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = INaturalist('train.json', data_root=str(root), pipeline=LOAD)
    assert data.metainfo['classes'] == ('a', 'b')
    assert data.get_gt_labels().tolist() == [1, 0]
    assert data[0]['img'].shape == (64, 64, 3)


def test_inaturalist_names_a_bad_annotation(inat):
    root, content = inat
    content['annotations'][0]['category_id'] = 5
    (root / 'train.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='image 7 with category 5'):
        INaturalist('train.json', data_root=str(root))
    content['images'][0]['file_name'] = '../secret.jpg'
    (root / 'train.json').write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"train\.json: '../secret\.jpg' leads"
    ):
        INaturalist('train.json', data_root=str(root))


@pytest.mark.parametrize(
    'spoil, match',
    [
        (
            lambda c: c['annotations'].append(dict(c['annotations'][0])),
            'image 7 has 2 annotations',
        ),
        (
            lambda c: c['images'][0].update(id=7.5),
            'id must be an integer, got 7.5',
        ),
        (
            lambda c: c['annotations'][0].update(category_id=2.0),
            'category_id must be an integer, got 2.0',
        ),
    ],
)
def test_inaturalist_refuses_what_it_would_misread(inat, spoil, match):
    root, content = inat
    spoil(content)
    (root / 'train.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=match):
        INaturalist('train.json', data_root=str(root))


def test_inaturalist_by_super_category(inat):
    root, content = inat
    content['categories'][0]['supercategory'] = 'Aves'
    content['categories'][1]['supercategory'] = 'Insecta'
    (root / 'train.json').write_text(json.dumps(content))
    data = INaturalist(
        'train.json',
        data_root=str(root),
        supercategories=['Aves'],
        pipeline=[],
    )
    assert data.metainfo['classes'] == ('b',)
    assert [data[i]['gt_label'] for i in range(len(data))] == [0]
    for wrong in (['Fungi'], []):
        with pytest.raises(ValueError, match=r"\['Aves', 'Insecta'\], got"):
            INaturalist(
                'train.json', data_root=str(root), supercategories=wrong
            )
