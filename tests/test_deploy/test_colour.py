"""Red stays red: from files, and from datasets of decoded images."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.datasets.image_folder import IMAGE_EXTENSIONS
from mmghm.deploy.calibration import calibrate
from mmghm.deploy.images import ImageReader, find_images, read_images
from mmghm.deploy.load import load_deployed, read_training
from mmghm.deploy.network import dataset_logits
from mmghm.deploy.publish import (
    inference_config,
    inference_weights,
    write_folder,
)

from .conftest import CARD

MODEL = dict(
    type='ImageClassifier',
    backbone=dict(type='CIFARResNet', depth=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        in_channels=64,
        num_classes=10,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
PIPELINES = {
    'decoded': [dict(type='PackInputs')],
    'files': [
        dict(type='LoadCheckedImage'),
        dict(type='Resize', scale=(48, 40)),
        dict(type='PackInputs'),
    ],
}


@pytest.mark.parametrize('to_rgb', [False, True])
@pytest.mark.parametrize('kind', PIPELINES)
def test_a_model_sees_the_colours_it_was_tested_with(
    class_folders, tmp_path, kind, to_rgb
):
    folder = class_folders / 'test'
    decoded = kind == 'decoded'
    dataset = dict(
        type='InMemoryImageFolder' if decoded else 'CustomDataset',
        data_root=str(folder),
        pipeline=PIPELINES[kind],
    )
    if not decoded:
        dataset['extensions'] = IMAGE_EXTENSIONS
    cfg = Config(
        dict(
            model=MODEL,
            # Another mean and deviation for each channel.
            data_preprocessor=dict(
                mean=[90.0, 120.0, 150.0], std=[40.0, 60.0, 80.0], to_rgb=to_rgb
            ),
            test_dataloader=dict(batch_size=4, num_workers=0, dataset=dataset),
        )
    )
    cfg.dump(str(tmp_path / 'mine.py'))
    cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    # Scores that depend on the colours and not on the biases.
    torch.nn.init.normal_(model.head.fc.weight, std=1.0)
    meta = dict(
        class_counts=[5] * 10,
        dataset_meta=dict(classes=[str(i) for i in range(10)]),
    )
    torch.save(
        dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'a.pth'
    )
    expected = dataset_logits(model, cfg.test_dataloader, '')[0]
    config, checkpoint = str(tmp_path / 'mine.py'), str(tmp_path / 'a.pth')
    training = read_training(Config.fromfile(config), checkpoint, False)
    write_folder(
        tmp_path / 'published',
        inference_config(cfg, training.model),
        inference_weights(training.model),
        training.classes,
        calibrate(training.model.head.loss_module, training.class_counts, None),
        CARD,
    )
    for used in (
        load_deployed(config, checkpoint),
        load_deployed(str(tmp_path / 'published')),
    ):
        reader = ImageReader(used.steps)
        found = find_images([str(folder)])
        (batch,) = read_images(found, reader, 64, num_workers=0)
        (images,) = batch.images.values()
        np.testing.assert_allclose(used.logits(images), expected, atol=1e-4)
        assert np.abs(used.logits(images.flip(1)) - expected).max() > 0.01
