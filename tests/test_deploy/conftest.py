import cv2
import pytest
from mmengine.config import Config

from mmghm.datasets import Digits
from mmghm.deploy.calibration import Scores, calibrate
from mmghm.deploy.held_out import calibration_loader
from mmghm.deploy.load import read_training
from mmghm.deploy.network import dataset_logits
from mmghm.deploy.publish import (
    group_accuracies,
    inference_config,
    inference_weights,
    write_folder,
)
from mmghm.engine.launch import build_runner

from ..conftest import CONFIGS

CARD = dict(
    name='digits',
    license='unknown',
    loss='GHMCWAPLoss',
    config='mine.py',
    checkpoint='epoch_3.pth',
    dataset='Digits',
    command='mmghm publish',
    test=None,
    test_images=None,
)


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """Config and checkpoint of a short training on digits, some held out."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = Config.fromfile(str(CONFIGS / 'ghm_cwap/resnet8_digits_lt.py'))
    cfg.work_dir = str(folder)
    cfg.train_cfg.max_epochs = 6
    cfg.train_cfg.val_interval = 6
    cfg.train_dataloader.dataset.holdout = 0.2
    cfg.visualizer = dict(type='Visualizer')
    cfg.default_hooks.logger.interval = 100
    cfg.custom_hooks = [h for h in cfg.custom_hooks if 'Picture' not in h.type]
    cfg.dump(str(folder / 'mine.py'))
    build_runner(cfg).train()
    return str(folder / 'mine.py'), str(folder / 'epoch_6.pth')


@pytest.fixture(scope='session')
def published(trained, tmp_path_factory):
    """A published folder."""
    out = tmp_path_factory.mktemp('published') / 'digits'
    publish(*trained, out)
    return out


def publish(config, checkpoint, out):
    cfg = Config.fromfile(config)
    training = read_training(cfg, checkpoint, False)
    loader, what = calibration_loader(cfg)
    settings = inference_config(cfg, training.model)
    logits, labels, _ = dataset_logits(training.model, loader, what)
    scores = Scores(logits, labels, what)
    loss = training.model.head.loss_module
    return write_folder(
        out,
        settings,
        inference_weights(training.model),
        training.classes,
        calibrate(loss, training.class_counts, scores),
        {**CARD, 'test': group_accuracies(scores, training.class_counts)},
    )


@pytest.fixture(scope='session')
def photos(tmp_path_factory):
    """Digits as PNG files in class folders: the images of the test split."""
    folder = tmp_path_factory.mktemp('photos')
    for number, sample in enumerate(Digits(split='test').load_data_list()):
        place = folder / str(sample['gt_label'])
        place.mkdir(exist_ok=True)
        cv2.imwrite(str(place / f'{number:04}.png'), sample['img'])
    return folder
