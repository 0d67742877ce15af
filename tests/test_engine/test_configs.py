"""Every config builds and takes a training step."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import HOOKS, METRICS, DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmghm.datasets import profile_counts
from mmghm.engine.configs import compose, load_config, method_names
from mmghm.engine.launch import build_runner

from ..conftest import CONFIGS

FILES = sorted(
    path.relative_to(CONFIGS).with_suffix('').as_posix()
    for path in CONFIGS.glob('[!_]*/*.py')
    # test_own_data.py has the others.
    if path.parent.name != 'own_data'
)
# Every loss, and every file but those that differ in the imbalance factor alone.
NAMES = sorted(
    {f'{method}/resnet8_digits_lt' for method in method_names()}
    | {name for name in FILES if not name.endswith(('_if1', '_if10', '_if500'))}
)
# Networks for 224 x 224 take smaller images; test_backbones.py has the full size.
IMAGE_SIZES = {10: 32, 100: 32, 200: 64, 1000: 64, 5089: 64}


@pytest.mark.parametrize('name', NAMES)
def test_takes_a_step(name):
    cfg = load_config(name)
    classes = cfg.num_classes
    assert cfg.data_preprocessor.num_classes == classes
    assert cfg.model.head.num_classes == classes
    channels = cfg.model.backbone.get('in_channels', 3)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(data_preprocessor=dict(cfg.data_preprocessor), **cfg.model)
        )
        for hook in cfg.custom_hooks:
            HOOKS.build(hook)
        METRICS.build(cfg.val_evaluator)
    largest = {10: 5000, 100: 500, 200: 500, 1000: 1300, 5089: 3919}[classes]
    counts = profile_counts(np.full(classes, largest), 'exp', 20)
    for module in model.modules():
        if hasattr(module, 'set_class_counts'):
            module.set_class_counts(counts)
    size = IMAGE_SIZES[classes] if channels == 3 else 8
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
    assert loss.isfinite()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_names_with_folder_and_ending():
    for name in ('configs/seesaw/resnet32_cifar10_lt_if50.py',
                 'seesaw/resnet32_cifar10_lt_if50'):  # fmt: skip
        cfg = load_config(name)
        assert cfg.model.head.loss.type == 'SeesawCrossEntropyLoss'
        assert cfg.train_dataloader.dataset.imbalance_factor == 50


@pytest.mark.parametrize(
    'name', ['seesaw/nothing', 'nothing/resnet32_cifar10_lt', 'x.py']
)
def test_unknown_names_list_the_known(name):
    with pytest.raises(FileNotFoundError, match='balanced_softmax'):
        load_config(name)


def test_a_natural_tail_has_no_imbalance_factor():
    with pytest.raises(ValueError, match='long-tailed by itself'):
        compose('softmax', 'resnet50_inat2017', 100)


def test_a_step_of_several_batches_scales_the_rate(digits_cfg):
    cfg = digits_cfg(max_epochs=1)
    cfg.optim_wrapper.accumulative_counts = 4
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=64)
    rate = cfg.optim_wrapper.optimizer.lr
    runner = build_runner(cfg)
    runner.train()
    batch = cfg.train_dataloader.batch_size
    groups = runner.optim_wrapper.param_groups
    assert groups[0]['initial_lr'] == pytest.approx(rate * 4 * batch / 64)
