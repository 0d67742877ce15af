"""Modern backbones train on generated images, with EMA, Mixup and CutMix."""

import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.engine.configs import load_config, task_names
from mmghm.engine.launch import build_runner

pytestmark = pytest.mark.slow

# One of each kind; test_tasks.py trains small ones of all.
TASKS = [
    'convnext_tiny_imagenet_lt_liu2019',
    'vit_base_lora_imagenet_lt_liu2019',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """ImageNet-LT with ten images of the 1,000 classes."""
    root = tmp_path_factory.mktemp('imagenet')
    random = np.random.default_rng(0)
    for part, labels in (
        ('train', [0, 0, 0, 1, 1, 999]),
        ('val', [0, 1, 2, 999]),
    ):
        lines = []
        for number, label in enumerate(labels):
            path = root / f'{part}/{number}.JPEG'
            path.parent.mkdir(exist_ok=True)
            image = random.integers(0, 256, (240, 260, 3), dtype=np.uint8)
            cv2.imwrite(str(path), image)
            lines.append(f'{part}/{number}.JPEG {label}\n')
        (root / f'ImageNet_LT_{part}.txt').write_text(''.join(lines))
    return root


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint of ViT-B/16 as mmpretrain writes them."""
    path = tmp_path_factory.mktemp('checkpoint') / 'vit.pth'
    torch.manual_seed(5)
    backbone = MODELS.build(
        dict(type='VisionTransformer', arch='b', img_size=224, patch_size=16)
    )
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    state = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), path)
    return path


@pytest.fixture
def config(folder, checkpoint, tmp_path, monkeypatch):
    """Make the config of a run of a few steps."""
    monkeypatch.setenv('PRETRAINED', str(checkpoint))

    def make(task, max_epochs=1):
        cfg = load_config(f'ghm_cwap/{task}')
        cfg.work_dir = str(tmp_path / 'run')
        cfg.experiment_name = f'{tmp_path.name}_{os.urandom(4).hex()}'
        cfg.train_cfg.update(max_epochs=max_epochs, val_interval=max_epochs)
        cfg.param_scheduler = []
        cfg.default_hooks.logger.interval = 1
        cfg.default_hooks.checkpoint.interval = 100
        for field in ('train_dataloader', 'val_dataloader'):
            loader = cfg[field]
            loader.update(batch_size=2, num_workers=0)
            loader.dataset.data_root = str(folder)
        cfg.test_dataloader = cfg.val_dataloader
        cfg.model.train_cfg = dict(
            augments=[
                dict(type='Mixup', alpha=0.8),
                dict(type='CutMix', alpha=1.0),
            ]
        )
        if not any(hook.type == 'EMAHook' for hook in cfg.custom_hooks):
            cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
        return Config(cfg.to_dict())

    return make


@pytest.mark.parametrize('task', TASKS)
def test_trains_with_averaged_weights_mixup_and_cutmix(task, config):
    runner = build_runner(config(task))
    model = runner.model
    model.init_weights()
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    runner.train()
    trained = {
        name
        for name, value in model.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert all(value.isfinite().all() for value in model.parameters())
    assert {'head.fc.weight', 'head.fc.bias'} <= trained
    if '_lora' in task:
        assert all('head.' in name or '.lora_' in name for name in trained)
        assert len(trained) == 2 + 12 * 2
    else:
        assert len(trained) > 0.9 * len(before)
    # Six mixed images, each counted by its two labels' shares.
    loss = model.head.loss_module
    assert loss.class_counts.tolist()[:2] == [3, 2]
    assert runner.message_hub.get_scalar('train/loss').current() > 0
    assert (
        0
        <= runner.message_hub.get_scalar('val/group/overall/top1').current()
        <= 100
    )


def test_a_full_fine_tuning_begins_with_the_checkpoint(config, checkpoint):
    cfg = config('vit_base_imagenet_lt_liu2019')
    runner = build_runner(cfg)
    runner.model.init_weights()
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    for name, value in runner.model.backbone.state_dict().items():
        assert torch.equal(value, state[f'backbone.{name}']), name


def test_adapters_are_resumed_with_their_average(config):
    cfg = config('vit_base_lora_imagenet_lt_liu2019', max_epochs=2)
    cfg.default_hooks.checkpoint.interval = 1
    runner = build_runner(cfg)
    runner.train()
    straight = {k: v.clone() for k, v in runner.model.state_dict().items()}
    path = f'{cfg.work_dir}/epoch_1.pth'
    # Adapters, classifier, their momentum and average, of 86 million weights.
    assert os.path.getsize(path) < 40e6
    again = config('vit_base_lora_imagenet_lt_liu2019', max_epochs=2)
    again.update(resume=True, load_from=path)
    resumed = build_runner(again)
    resumed.train()
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, straight[name]), name
    averages = [
        next(h.ema_model for h in r.hooks if hasattr(h, 'ema_model'))
        for r in (runner, resumed)
    ]
    assert int(averages[1].steps) == int(averages[0].steps) == 6
    for one, other in zip(*(model.parameters() for model in averages)):
        assert torch.equal(one, other)


def lora(**kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='LoRABackbone',
                module=dict(
                    type='VisionTransformer', arch='deit-t', img_size=32
                ),
                rank=2,
                targets=[dict(type='qkv')],
                **kwargs,
            )
        )


def test_adapters_refuse_other_frozen_weights():
    first, second = lora(), lora()
    assert type(first).__name__ == 'LoRABackbone'
    state = first.state_dict()
    assert set(state) == {
        'lora_base',
        *(
            f'module.layers.{i}.attn.qkv.lora_{part}.weight'
            for i in range(12)
            for part in ('down', 'up')
        ),
    }
    with pytest.raises(ValueError, match='on other frozen weights'):
        second.load_state_dict(state, strict=False)
    missing = first.load_state_dict(state, strict=False)
    assert not missing.missing_keys and not missing.unexpected_keys


def test_a_missing_classifier_is_still_reported():
    model = torch.nn.ModuleDict(
        dict(backbone=lora(), head=torch.nn.Linear(2, 2))
    )
    state = {k: v for k, v in model.state_dict().items() if 'head' not in k}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert missing == ['head.weight', 'head.bias']


def test_families_have_the_three_sets_of_lift():
    names = task_names()
    for kind in ('', '_linear', '_lora'):
        for data in ('imagenet_lt_liu2019', 'places_lt', 'inat2018'):
            assert f'vit_base{kind}_{data}' in names
    epochs = load_config('softmax/vit_base_lora_inat2018').train_cfg.max_epochs
    assert epochs == 20
