"""Images as people have them: every label right, or refused in one line.

docs/own_data.md has a table of these.
"""

import json
import logging
import os

import cv2
import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from mmghm.datasets import (
    ImageFolder,
    LoadCheckedImage,
    dataset_class_counts,
    dataset_labels,
    find_own_images,
)
from mmghm.models import find_network
from mmghm.utils.errors import UserError

from ..conftest import CONFIGS


def write_images(folder, **classes):
    """Grey images, some for each class."""
    for name, number in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            cv2.imwrite(str(folder / name / f'{i}.png'), np.zeros((4, 4)))


def build(settings):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(dict(settings))
    dataset.full_init()
    return dataset


def build_part(folder, part):
    return build(
        dict(pipeline=[], **getattr(find_own_images(str(folder)), part))
    )


def labelled(dataset):
    """Folder and name of the class of every image."""
    names = dataset.metainfo['classes']
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [
        (info['img_path'].split(os.sep)[-2], names[info['gt_label']])
        for info in infos
    ]


@pytest.fixture
def said():
    """What is logged."""
    messages = []

    class Keep(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    handler = Keep()
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_a_class_has_its_label_by_its_name(tmp_path):
    write_images(tmp_path / 'train', badger=3, fox=2, wolf=1)
    write_images(tmp_path / 'val', fox=1, wolf=2)
    dataset = build_part(tmp_path, 'val')
    assert labelled(dataset) == [('fox',) * 2, ('wolf',) * 2, ('wolf',) * 2]
    assert dataset_class_counts(dataset).tolist() == [0, 1, 2]


def test_a_class_that_training_lacks_is_refused_by_name(tmp_path):
    write_images(tmp_path / 'train', badger=1, fox=1)
    write_images(tmp_path / 'test', ape=1, badger=1)
    with pytest.raises(UserError, match='none of the 2 classes: ape; the'):
        build_part(tmp_path, 'test')
    (tmp_path / 'val.csv').write_text('path,label\na.png,ape\n')
    with pytest.raises(UserError, match=r"'ape', the label of 'a\.png', is"):
        build_part(tmp_path, 'val')
    (tmp_path / 'valid.txt').write_text('')
    (tmp_path / 'val.csv').rename(tmp_path / 'other.csv')
    (tmp_path / 'valid.txt').write_text('a.png 2\n')
    with pytest.raises(UserError, match='label 2 is not below 2 classes'):
        find_own_images(str(tmp_path))


def test_hidden_folders_and_files_are_no_images(tmp_path, said):
    write_images(tmp_path / 'train', **{'badger': 1, '.ipynb_checkpoints': 2})
    (tmp_path / 'train/badger/._0.png').write_bytes(b'of macOS')
    found = find_own_images(str(tmp_path))
    assert (
        found.classes == ['badger']
        and len(build(dict(pipeline=[], **found.train))) == 1
    )
    assert any('left out: 1 hidden files' in line for line in said)


def test_an_empty_folder_is_a_class_without_an_image(tmp_path, said):
    write_images(tmp_path / 'train', badger=2, fox=0)
    dataset = build_part(tmp_path, 'train')
    assert dataset_class_counts(dataset).tolist() == [2, 0]
    assert any('without an image here (1): fox' in line for line in said)


def test_files_that_are_left_out_are_counted_by_ending(tmp_path, said):
    write_images(tmp_path / 'train', badger=2, wolf=1)
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    image.save(tmp_path / 'train/wolf/a.gif')
    image.save(tmp_path / 'train/wolf/b.GIF', format='GIF')
    image.save(tmp_path / 'train/wolf/c.jfif', format='JPEG')
    (tmp_path / 'train/wolf/notes').write_text('no image')
    dataset = build_part(tmp_path, 'train')
    # .jfif is JPEG.
    assert dataset_class_counts(dataset).tolist() == [2, 2]
    (line,) = [line for line in said if 'left out' in line]
    assert 'left out: 2 .gif, 1 files without an ending' in line
    with pytest.raises(UserError, match=r'holds no image.*left out: 1 \.txt'):
        (tmp_path / 'other/a').mkdir(parents=True)
        (tmp_path / 'other/a/b.txt').write_text('')
        ImageFolder(data_root=str(tmp_path / 'other'))


def test_images_below_folders_of_a_class_belong_to_it(tmp_path):
    write_images(tmp_path / 'train/wolf', summer=1, winter=2)
    write_images(tmp_path / 'elsewhere', fox=1)
    (tmp_path / 'train/fox').symlink_to(tmp_path / 'elsewhere/fox')
    dataset = build_part(tmp_path, 'train')
    assert dataset.metainfo['classes'] == ('fox', 'wolf')
    assert dataset_class_counts(dataset).tolist() == [1, 3]


@pytest.mark.parametrize(
    'val', ['val', 'valid', 'validation', 'val.csv', 'val.txt']
)
def test_every_part_is_found_and_used_for_its_purpose(
    tmp_path, monkeypatch, val
):
    for part in ('train', 'test'):
        write_images(tmp_path / part, badger=4, fox=4)
    if '.' in val:
        write_images(tmp_path / 'images', fox=2)
        line = {
            'val.csv': 'path,label\nimages/fox/0.png,fox\n',
            'val.txt': 'images/fox/0.png 1\n',
        }[val]
        (tmp_path / val).write_text(line)
    else:
        write_images(tmp_path / val, fox=1)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(str(CONFIGS / 'own_data/fine_tuning.py'))
    parts = [
        build({**part.dataset, 'pipeline': []})
        for part in (cfg.val_dataloader, cfg.test_dataloader)
    ]
    assert labelled(parts[0]) == [('fox', 'fox')]
    assert dataset_class_counts(parts[1]).tolist() == [4, 4]
    info = parts[1].get_data_info(0)
    assert info['img_path'].startswith(f'{tmp_path}/test/')
    shown = val if '.' in val else f'{val}/'
    assert cfg.sources == dict(train='train/', val=shown, test='test/')


def test_without_val_and_test_it_says_what_it_takes(tmp_path, monkeypatch):
    write_images(tmp_path / 'train', badger=20, fox=10)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(str(CONFIGS / 'own_data/fine_tuning.py'))
    assert cfg.sources.val == 'a tenth of each class of train/'
    assert cfg.sources.test.endswith('train/, as validation')
    assert cfg.test_dataloader == cfg.val_dataloader
    held_out = build(cfg.val_dataloader.dataset)
    assert held_out.class_counts.tolist() == [2, 1]


def test_labels_that_count_from_1_are_told(tmp_path):
    (tmp_path / 'train.csv').write_text('path,label\na,1\nb,2\n')
    with pytest.warns(UserWarning, match='no image has the label 0') as seen:
        found = find_own_images(str(tmp_path))
    assert len(seen) == 1 and found.classes == ['0', '1', '2']
    (tmp_path / 'train.csv').rename(tmp_path / 'other.csv')
    (tmp_path / 'train.txt').write_text('a 1\nb 2\n')
    with pytest.warns(UserWarning, match='no image has the label 0'):
        find_own_images(str(tmp_path))


@pytest.mark.parametrize('labels', [[[0, 2], [1, 2], [2]], [[0, 2], [1, 2]]])
def test_several_labels_an_image_are_refused(tmp_path, labels):
    file = tmp_path / 'train.json'
    rows = [dict(img_path='x.png', gt_label=label) for label in labels]
    file.write_text(
        json.dumps(dict(metainfo=dict(classes=list('abc')), data_list=rows))
    )
    dataset = build(
        dict(type='MultiLabelDataset', ann_file=str(file), pipeline=[])
    )
    with pytest.raises(TypeError, match='MultiLabelDataset does not have'):
        dataset_class_counts(dataset)


def test_numbers_with_leading_zeros_are_names(tmp_path):
    (tmp_path / 'train.csv').write_text('path,label\na,001\nb,010\nc,001\n')
    found = find_own_images(str(tmp_path))
    assert found.classes == ['001', '010']
    assert dataset_class_counts(
        build(dict(pipeline=[], **found.train))
    ).tolist() == [2, 1]


class Boxes(BaseDataset):
    """As mmdet's datasets: the labels of an image's boxes."""

    def __init__(self, labels):
        self.labels = labels
        super().__init__(metainfo=dict(classes=('a', 'b', 'c')))

    def load_data_list(self):
        return [dict(boxes=labels) for labels in self.labels]

    def get_cat_ids(self, index):
        return self.get_data_info(index)['boxes']


class Plain(BaseDataset):
    """As MMEngine's tutorial makes one."""

    def load_data_list(self):
        return [dict(gt_label=label) for label in (2, 0, 2)]


class Column:
    """As a dataset of Hugging Face."""

    class ClassLabel:
        names = ('a', 'b', 'c')

    features = dict(image=None, species=ClassLabel())

    def __len__(self):
        return 3

    def __getitem__(self, name):
        return dict(species=[2, 0, 2])[name]


@pytest.mark.parametrize('labels', [[[0, 1], [1]], [[0], []], [[0, 1], [1, 2]]])
def test_not_exactly_one_label_a_sample_is_refused(labels):
    with pytest.raises(TypeError, match='Boxes does not have exactly one'):
        dataset_class_counts(Boxes(labels))


def test_nothing_that_is_a_label_is_refused():
    class Segments(BaseDataset):
        def load_data_list(self):
            return [dict(seg_map_path='a.png')]

    with pytest.raises(TypeError, match=r'Segments has none of .*class_counts'):
        dataset_class_counts(Segments())
    with pytest.raises(TypeError, match='whole number'):
        values = torch.tensor([0.5, 1.0])
        dataset_class_counts(TensorDataset(values, values))


@pytest.mark.parametrize(
    'dataset',
    [
        Boxes([[2], [0], [2]]),
        Plain(metainfo=dict(classes=('a', 'b', 'c'))),
        Plain(),
        TensorDataset(torch.zeros(3, 2), torch.tensor([2, 0, 2])),
        Subset(
            TensorDataset(torch.zeros(4, 1), torch.tensor([2, 1, 2, 0])),
            [2, 3, 0],
        ),
        ConcatDataset(
            [
                TensorDataset(torch.zeros(1, 1), torch.tensor([2])),
                TensorDataset(torch.zeros(2, 1), torch.tensor([0, 2])),
            ]
        ),
        Column(),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_datasets_of_other_libraries_are_counted(dataset):
    assert dataset_labels(dataset).tolist() == [2, 0, 2]
    assert dataset_class_counts(dataset).tolist() == [1, 0, 2]


def test_torchvisions_folders_are_counted(tmp_path):
    write_images(tmp_path, badger=2, fox=1)
    dataset = torchvision.datasets.ImageFolder(str(tmp_path))
    assert dataset_class_counts(dataset).tolist() == [2, 1]
    assert dataset_class_counts(Subset(dataset, [0])).tolist() == [1, 0]


@pytest.fixture
def twelve_bits(tmp_path):
    image = np.full((8, 8), 300, np.uint16)
    image[2:4] = 3500
    cv2.imwrite(str(tmp_path / 'x.png'), image)
    cv2.imwrite(str(tmp_path / 'x.tif'), image)
    return tmp_path


@pytest.mark.parametrize('name', ['x.png', 'x.tif'])
def test_images_of_12_bits_are_told_once_and_can_be_scaled(
    twelve_bits, name, monkeypatch
):
    monkeypatch.setattr(LoadCheckedImage, 'warned_of_dark', False)
    path = dict(img_path=str(twelve_bits / name))
    load = LoadCheckedImage()
    with pytest.warns(UserWarning, match=r'3,500: .*value_range=\(0, 4095\)'):
        assert load.transform(path)['img'].max() == 13
    load.transform(path)
    scaled = LoadCheckedImage(value_range=(0, 4095)).transform(path)['img']
    assert scaled.shape == (8, 8, 3)
    assert (scaled[0] == round(300 * 255 / 4095)).all()
    assert (scaled[2] == round(3500 * 255 / 4095)).all()
    with pytest.raises(UserError, match='value_range must be'):
        LoadCheckedImage(value_range=(1, 1))


@pytest.mark.parametrize(
    'name, width',
    [('resnet18_8xb32_in1k', 512), ('timm/resnet10t', 512)],
)
@pytest.mark.parametrize('freeze', ['yes', 'no'])
def test_a_network_fits_the_images_and_the_classes(
    tmp_path, monkeypatch, name, width, freeze
):
    write_images(tmp_path / 'train', badger=4, fox=4)
    for key, value in dict(
        DATA_ROOT=str(tmp_path),
        BACKBONE=name,
        IMAGE_SIZE='32',
        FREEZE=freeze,
        PRETRAINED='none',
    ).items():
        monkeypatch.setenv(key, value)
    cfg = Config.fromfile(str(CONFIGS / 'own_data/fine_tuning.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        from mmpretrain.registry import MODELS

        model = MODELS.build(cfg.model)
        image = DATASETS.build(cfg.test_dataloader.dataset)[0]['inputs']
    assert image.shape == (3, 32, 32)
    assert model.head.in_channels == width and model.head.num_classes == 2
    model.train()
    scores = model(image[None].float().repeat(2, 1, 1, 1))
    assert scores.shape == (2, 2)
    learns = {n for n, p in model.named_parameters() if p.requires_grad}
    assert any(n.startswith('backbone.') for n in learns) == (freeze == 'no')
    modes = {
        m.training
        for m in model.backbone.modules()
        if 'Norm' in type(m).__name__
    }
    assert modes == {freeze == 'no'}


@pytest.mark.parametrize(
    'settings, message',
    [
        (('vit_tiny', '64', 'none', 'no'), 'BACKBONE=vit_tiny is neither'),
        (('timm/resnt18', '64', 'none', 'no'), 'did you mean resnet18'),
        (('timm/resnet18', 'big', 'none', 'no'), 'IMAGE_SIZE is a number'),
        (('timm/resnet18', '64', 'none', '1'), 'FREEZE is yes or no'),
        (
            ('mobilenet-v2_8xb32_in1k', '64', 'none', 'yes'),
            'cannot freeze all of mobilenet',
        ),
    ],
)
def test_a_wrong_network_setting_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        find_network(*settings)
