"""Whole batches of decoded images equal the stock path."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor
from torch.utils.data import DataLoader

from mmghm.datasets import (
    Digits,
    InMemoryDataset,
    LongTailDataset,
    dataset_class_counts,
    keep_batch,
)
from mmghm.engine.configs import compose
from mmghm.engine.launch import set_dataloader_defaults
from mmghm.models import BatchDataPreprocessor
from mmghm.models.data_preprocessors.batch_data_preprocessor import (
    random_crop_flip,
)


def test_batches_hold_the_images_of_the_subset():
    tail = LongTailDataset(InMemoryDataset(Digits(split='train')), 20)
    plain = LongTailDataset(Digits(split='train'), 20)
    assert tail.manifest()['sha256'] == plain.manifest()['sha256']
    np.testing.assert_array_equal(
        dataset_class_counts(tail), plain.class_counts
    )
    loader = DataLoader(tail, batch_size=50, collate_fn=keep_batch)
    start = 0
    for batch in loader:
        for image, label in zip(batch['inputs'], batch['labels']):
            info = plain.get_data_info(start)
            assert label == info['gt_label']
            np.testing.assert_array_equal(
                image.permute(1, 2, 0), info['img'].reshape(8, 8, 1)
            )
            start += 1
    assert start == len(plain)


def test_around_a_subset_and_item_by_item():
    tail = LongTailDataset(Digits(split='train'), 20)
    decoded = InMemoryDataset(tail)
    assert len(decoded) == len(tail)
    assert decoded.get_cat_ids(3) == tail.get_cat_ids(3)
    assert decoded[3]['gt_label'] == tail[3]['gt_label']
    np.testing.assert_array_equal(decoded[3]['img'], tail[3]['img'])


class Images:
    metainfo = dict(classes=('a', 'b'))
    targets = (0, 1, 1)

    def __init__(self, *images):
        self.images = images

    def __getitem__(self, idx):
        return dict(img=self.images[idx])

    def __len__(self):
        return len(self.images)


def test_refuses_what_it_cannot_hold():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r'image 2 has shape \(5, 4, 3\)'):
        InMemoryDataset(Images(image, image, np.zeros((5, 4, 3), np.uint8)))
    with pytest.raises(TypeError, match='got float64'):
        InMemoryDataset(Images(image / 255))
    with pytest.raises(TypeError, match='pipeline'):
        InMemoryDataset(Images(None))
    with pytest.raises(ValueError, match='no images'):
        InMemoryDataset(Images())
    with pytest.raises(TypeError, match='InMemoryDataset'):
        FUNCTIONS.get('keep_batch')([dict(inputs=image)])
    with pytest.raises(TypeError, match='keep_batch'):
        BatchDataPreprocessor()(dict(inputs=image, data_samples=[]))
    with pytest.raises(ValueError, match='flip_prob'):
        BatchDataPreprocessor(flip_prob=1.5)


def test_crops_and_mirrors_each_image_at_random():
    torch.manual_seed(0)
    images = torch.randint(256, (400, 3, 6, 5), dtype=torch.uint8)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    places = set()
    for image, source in zip(random_crop_flip(images, 2, 0.5), padded):
        found = [
            (row, column, flipped)
            for row in range(5)
            for column in range(5)
            for flipped in (False, True)
            if torch.equal(
                image.flip(2) if flipped else image,
                source[:, row : row + 6, column : column + 5],
            )
        ]
        assert found
        places.update(found)
    # Every place, mirrored and not.
    assert len(places) == 50
    assert torch.equal(random_crop_flip(images, 0, 1.0), images.flip(3))
    assert torch.equal(random_crop_flip(images, 0, 0.0), images)


def test_normalises_like_the_stock_preprocessor():
    settings = dict(mean=[10, 20, 30], std=[3, 4, 5], to_rgb=True)
    images = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    stock = ClsDataPreprocessor(**settings)(dict(inputs=images))['inputs']
    batch = dict(inputs=images, labels=torch.tensor([0, 1, 1, 0]))
    ours = BatchDataPreprocessor(crop_padding=4, **settings)(batch)
    assert torch.equal(ours['inputs'], stock)
    assert [int(s.gt_label) for s in ours['data_samples']] == [0, 1, 1, 0]


def decoded_cfg(folder, epochs, **options):
    cfg = compose('ghm_cwap', 'resnet8_digits_lt_decoded', 20)
    cfg.work_dir = str(folder)
    cfg.experiment_name = f'decoded_{id(cfg)}'
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.visualizer = dict(type='Visualizer')
    cfg.merge_from_dict(options)
    for field in ('train_dataloader', 'val_dataloader'):
        set_dataloader_defaults(cfg, field)
    return cfg


def weights(runner):
    return copy.deepcopy(runner.model.state_dict())


@pytest.mark.slow
def test_trains_and_resumes(tmp_path):
    mixed = {'model.train_cfg': dict(augments=dict(type='Mixup', alpha=0.8))}
    cfg = decoded_cfg(tmp_path / 'whole', 4, **mixed)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    whole = Runner.from_cfg(cfg)
    whole.train()
    cfg = decoded_cfg(tmp_path / 'part', 4, resume=True, **mixed)
    cfg.load_from = str(tmp_path / 'whole/epoch_2.pth')
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    ours, theirs = weights(resumed), weights(whole)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key
    # Each epoch counted every example of the subset once.
    counted = int(theirs['head.loss_module.finished_counts'].sum()) / 2**20
    number = len(whole.train_dataloader.dataset)
    assert counted == pytest.approx(number, rel=1e-3)
