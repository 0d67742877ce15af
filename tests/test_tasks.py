"""Every task is inherited by a file of one's own, trained and tested.

On generated images in the official layouts, with small networks.
"""

import json
import os
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmghm.engine.configs import task_names

from .conftest import ROOT

pytestmark = pytest.mark.slow

LINES = """_base_ = [
    'mmghm::_base_/tasks/{task}.py',
    'mmghm::_base_/losses/ghm_cwap.py',
]
model = dict(
    head=dict(loss=dict(num_classes=_base_.num_classes, **_base_.loss))
)
custom_hooks = [*_base_.custom_hooks, *_base_.loss_hooks]
"""


def write_image(path, size=(40, 44)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 256, (*size, 3))
    cv2.imwrite(str(path), noise.astype(np.uint8))


def write_lists(root, name, classes):
    for number in range(4):
        write_image(root / f'images/{number}.jpg')
    for part in ('train', 'val', 'test'):
        labels = [0, 0, 1, classes - 1]
        lines = [f'images/{i}.jpg {label}\n' for i, label in enumerate(labels)]
        (root / f'{name}_{part}.txt').write_text(''.join(lines))


def write_inaturalist(root, year, classes):
    write_image(root / 'a.jpg')
    write_image(root / 'b.jpg')
    for part in ('train', 'val'):
        content = dict(
            images=[
                dict(id=i, file_name=f'{n}.jpg') for i, n in enumerate('ab')
            ],
            categories=[
                dict(id=i, name=str(i), supercategory='Aves')
                for i in range(classes)
            ],
            annotations=[
                dict(image_id=i, category_id=c)
                for i, c in enumerate((0, classes - 1))
            ],
        )
        (root / f'{part}{year}.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Miniatures of all sets, where the configs look for them."""
    top = tmp_path_factory.mktemp('miniatures')
    data = top / 'data'
    imagenet = data / 'imagenet'
    # The synsets' folders decide which class is which.
    names = [f'n{number:08d}' for number in range(len(IMAGENET_CATEGORIES))]
    write_image(top / 'image.jpg')
    for part in ('train', 'val'):
        for name in names:
            (imagenet / part / name).mkdir(parents=True)
            (imagenet / part / name / 'a.JPEG').symlink_to(top / 'image.jpg')
    write_lists(imagenet, 'ImageNet_LT', 1000)
    write_lists(data / 'places365_standard', 'Places_LT', 365)
    write_inaturalist(data / 'inat2017', 2017, 5089)
    write_inaturalist(data / 'inat2018', 2018, 8142)
    for classes in (10, 100):
        for part, most in (('train', 4), ('test', 1)):
            for c in range(classes):
                for i in range(most):
                    place = data / f'cifar{classes}/{part}/{c:03d}/{i}.png'
                    write_image(place, (32, 32))
    tiny = data / 'tiny-imagenet-200'
    (tiny / 'val/images').mkdir(parents=True)
    wnids = [f'n{number:08d}' for number in range(200)]
    (tiny / 'wnids.txt').write_text('\n'.join(wnids) + '\n')
    listed = []
    for wnid in wnids:
        for i in range(2):
            write_image(tiny / f'train/{wnid}/images/{i}.JPEG', (64, 64))
        write_image(tiny / f'val/images/{wnid}.JPEG', (64, 64))
        listed.append(f'{wnid}.JPEG\t{wnid}\t0\t0\t1\t1\n')
    (tiny / 'val/val_annotations.txt').write_text(''.join(listed))
    for part in ('train', 'val'):
        for c in range(3):
            write_image(data / f'own/{part}/class {c}/a.jpg')
    return top


def shrink(cfg):
    """Make a training of seconds of it; data and structure stay."""
    size = 224 if cfg.model.backbone.type == 'SwinTransformer' else 32
    backbone, head = cfg.model.backbone, cfg.model.head
    backbone = backbone.get('module', backbone)
    if backbone.type in ('ResNet', 'ResNeXt'):
        cfg.model.backbone = dict(type='ResNet', depth=18)
        head.in_channels = 512
    elif backbone.type == 'CIFARResNet':
        backbone.depth = 8
    elif backbone.type == 'VisionTransformer':
        # As deep as before: frozen_stages counts layers.
        backbone.arch = dict(
            embed_dims=32, num_layers=12, num_heads=2, feedforward_channels=32
        )
        backbone.img_size = 32
        head.in_channels = 32
    for field in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[field]
        loader.num_workers = 0
        loader.pop('worker_init_fn', None)
        loader.batch_size = 4 if cfg.num_classes > 200 else 64
        dataset = loader.dataset
        if dataset.type == 'LongTailDataset' and 'imbalance_factor' in dataset:
            # A class of ImageNet has one image here.
            dataset.imbalance_factor = 1 if cfg.num_classes == 1000 else 2
        if cfg.num_classes == 1000 and dataset.type != 'ImageList':
            loader.batch_size = 250
        while 'pipeline' not in dataset and 'dataset' in dataset:
            dataset = dataset.dataset
        for step in dataset.get('pipeline', ()):
            if step.type in ('RandomResizedCrop', 'ResizeEdge'):
                step.scale = size
            elif step.type == 'CenterCrop':
                step.crop_size = size
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.logger.interval = 1


OWN = 'own_data'
# In parts, for several workers and so that one failure does not hide others.
PARTS = {
    'small': [
        t for t in task_names() if 'digits' in t or 'cifar' in t or 'tiny' in t
    ],
    'residual': [
        *(t for t in task_names() if t.startswith(('resnet50', 'resnext50'))),
        'resnet152_places_lt',
        OWN,
    ],
    'modern': [
        t for t in task_names() if t.startswith(('vit', 'swin', 'convnext'))
    ],
}


def test_parts_hold_all_tasks():
    assert {t for part in PARTS.values() for t in part} == {*task_names(), OWN}


@pytest.mark.parametrize('part', PARTS)
def test_trains_and_tests(part, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    variables = dict(
        CIFAR10_FOLDER='data/cifar10',
        CIFAR100_FOLDER='data/cifar100',
        DATA_ROOT='data/own',
        PRETRAINED='none',
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    commands = []
    for task in PARTS[part]:
        file = tmp_path / f'{task}.py'
        file.write_text(LINES.format(task=task))
        if task == OWN:
            file.write_text("_base_ = 'mmghm::own_data/fine_tuning.py'\n")
        cfg = Config.fromfile(str(file))
        shrink(cfg)
        cfg.dump(str(file))
        work = tmp_path / task
        commands += [
            f'python {ROOT}/tools/train.py {file} --work-dir {work}',
            f'python {ROOT}/tools/test.py {file} {work}/epoch_1.pth '
            f'--work-dir {work}_test --out {work}.json --out-item metrics',
        ]
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tests/run_tools.py')],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
        timeout=900,
    )
    output = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, output
    for task in PARTS[part]:
        metrics = json.loads((tmp_path / f'{task}.json').read_text())
        assert 0 <= metrics['group/overall/top1'] <= 100, shlex.quote(task)
