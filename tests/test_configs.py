import re

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.fileio import load
from mmengine.registry import DATASETS, HOOKS, METRICS, DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from .conftest import CONFIGS

EXPERIMENTS = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts
)


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_builds_and_takes_a_step(name, monkeypatch):
    monkeypatch.delenv('CIFAR10_FOLDER', raising=False)
    cfg = Config.fromfile(str(CONFIGS / name))
    classes = cfg.data_preprocessor.num_classes
    assert cfg.model.head.num_classes == classes == cfg.num_classes
    channels = cfg.model.backbone.get('in_channels', 3)
    size = 64 if 'imagenet' in name else 32
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(data_preprocessor=dict(cfg.data_preprocessor), **cfg.model)
        )
        hooks = [HOOKS.build(hook) for hook in cfg.custom_hooks]
        METRICS.build(cfg.val_evaluator)
        loop = cfg.train_cfg
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(range(classes, 0, -1))
    batch = pseudo_collate(
        [
            dict(
                inputs=torch.randint(
                    256, (channels, size, size), dtype=torch.uint8
                ),
                data_samples=DataSample().set_gt_label(label),
            )
            for label in (0, classes - 1)
        ]
    )
    data = model.data_preprocessor(batch, training=True)
    loss = model.train()(**data, mode='loss')['loss']
    loss.backward()
    assert loss.isfinite() and hooks and loop.max_epochs > 0
    factor = re.search(r'_if(\d+)', name)
    if factor:
        tail = cfg.train_dataloader.dataset
        assert tail.imbalance_factor == int(factor[1])


@pytest.mark.parametrize('classes', [10, 100])
def test_environment_switches_to_class_folders(classes, monkeypatch, tmp_path):
    monkeypatch.setenv(f'CIFAR{classes}_FOLDER', str(tmp_path))
    cfg = Config.fromfile(
        str(CONFIGS / f'ghm_cwap/resnet32_cifar{classes}_lt_if100.py')
    )
    train = cfg.train_dataloader.dataset.dataset
    assert train.type == 'InMemoryImageFolder'
    assert train.data_root == f'{tmp_path}/train'
    assert cfg.test_dataloader.dataset.data_root == f'{tmp_path}/test'


def test_model_index_lists_what_exists():
    index = load(CONFIGS.parent / 'model-index.yml')
    assert len(index['Import']) == len(list(CONFIGS.glob('*/metafile.yml')))
    for path in index['Import']:
        meta = load(CONFIGS.parent / path)
        names = {c['Name'] for c in meta['Collections']}
        for collection in meta['Collections']:
            assert (CONFIGS.parent / collection['README']).is_file()
        for model in meta['Models']:
            assert (CONFIGS.parent / model['Config']).is_file()
            assert model['In Collection'] in names


def test_real_images_give_the_published_sizes(cifar10_folder, monkeypatch):
    monkeypatch.setenv('CIFAR10_FOLDER', str(cifar10_folder))
    totals = {10: 20431, 100: 12406, 500: 10011}
    for factor, total in totals.items():
        cfg = Config.fromfile(
            str(CONFIGS / f'softmax/resnet32_cifar10_lt_if{factor}.py')
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            data = DATASETS.build(cfg.train_dataloader.dataset)
        assert len(data) == total
        sample = data[0]
        assert sample['inputs'].shape == (3, 32, 32)
