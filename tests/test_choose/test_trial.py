"""Trials: what stays of a config, what is judged, and on which images."""

import time
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.registry import MODELS

from mmghm.choose import settings
from mmghm.choose.classifiers import _save
from mmghm.choose.plan import LOSSES, Plan
from mmghm.choose.run import look_at
from mmghm.choose.settings import (
    check_methods,
    data_digest,
    fingerprint,
    trial_config,
    with_method,
)
from mmghm.choose.trial import (
    linear_classifier,
    run_trial,
    time_trial,
    write_frozen_features,
)
from mmghm.deploy.network import innermost
from mmghm.engine.configs import load_config
from mmghm.engine.recipes import run_length
from mmghm.features.cached import FEATURES, feature_config
from mmghm.features.frozen import is_frozen
from mmghm.utils.errors import UserError
from mmghm.utils.text import TextConsole

DIGITS = 'softmax/resnet8_digits_lt'


@MODELS.register_module()
class FrozenPixels(BaseModule):
    """A backbone that does not learn: a fixed projection of the pixels."""

    def __init__(self, trains=False):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(16, 64, generator=generator) / 8
        self.weight = torch.nn.Parameter(drawn, requires_grad=trains)

    def forward(self, images):
        return (torch.tanh(images.flatten(1) @ self.weight.T),)


def frozen_config(epochs=3, **backbone):
    cfg = load_config(DIGITS)
    cfg.model.backbone = ConfigDict(type='FrozenPixels', **backbone)
    cfg.model.neck = None
    # The same start, whatever was drawn before.
    start = dict(type='Normal', layer='Linear', std=0)
    cfg.model.head.update(in_channels=16, init_cfg=start)
    cfg.train_cfg.max_epochs = epochs
    # Features are those of images as they are tested.
    pipeline = cfg.val_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.dataset.pipeline = pipeline
    return cfg


def build(dataset):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dataset)


def images_of(dataset):
    """The pixels of each image of a dataset, as bytes."""
    found = []
    for i in range(len(dataset)):
        inner, index = dataset, i
        while hasattr(inner, 'dataset'):
            if hasattr(inner, 'indices'):
                index = inner.indices[index]
            elif hasattr(inner, 'repeat_indices'):
                index = inner.repeat_indices[index]
            else:
                index %= len(inner.dataset)
            inner = inner.dataset
        found.append(inner.get_data_info(int(index))['img'].tobytes())
    return found


def test_test_images_are_no_part_of_it():
    cfg = load_config(DIGITS)
    before = cfg.pretty_text
    trial = trial_config(cfg, 'softmax', 3, 0.2)
    assert cfg.pretty_text == before
    for name in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        assert name not in trial
    # The validation set of the digits is their test split.
    assert "split='test'" not in trial.pretty_text
    assert trial.val_dataloader.dataset.part == 'holdout'
    assert trial.randomness.seed == 3
    assert trial.optim_wrapper == cfg.optim_wrapper
    assert trial.param_scheduler == cfg.param_scheduler


@pytest.mark.parametrize(
    'wrap',
    [
        lambda inner: inner,
        lambda inner: dict(type='RepeatDataset', times=2, dataset=inner),
        lambda inner: dict(
            type='mmengine.ClassBalancedDataset',
            oversample_thr=0.2,
            dataset=inner,
        ),
        lambda inner: dict(
            inner, holdout=0.1, part='train', profile='exp', seed=4
        ),
        lambda inner: dict(type='InMemoryDataset', dataset=inner['dataset']),
        lambda inner: dict(
            type='RepeatDataset',
            times=3,
            dataset=dict(type='RepeatDataset', times=2, dataset=inner),
        ),
    ],
    ids=[
        *('plain', 'repeated', 'oversampled', 'held out before', 'in memory'),
        'repeated twice',
    ],
)
def test_no_image_is_in_both_parts(wrap):
    cfg = load_config(DIGITS)
    inner = cfg.train_dataloader.dataset
    inner.dataset.pipeline = []
    cfg.train_dataloader.dataset = ConfigDict(wrap(inner.to_dict()))
    whole = images_of(build(cfg.train_dataloader.dataset))
    trial = trial_config(cfg, 'softmax', 0, 0.3)
    train = images_of(build(trial.train_dataloader.dataset))
    innermost(trial.val_dataloader.dataset).pipeline = []
    held = images_of(build(trial.val_dataloader.dataset))
    assert held and not set(train) & set(held)
    assert set(train) | set(held) == set(whole)
    # Repetitions stay where one trains, and nowhere else.
    assert len(held) == len(set(held))
    again = trial_config(cfg, 'ghm_cwap', 5, 0.3)
    assert (
        again.val_dataloader.dataset
        == trial_config(cfg, 'softmax', 0, 0.3).val_dataloader.dataset
    )


def test_sets_put_together_get_the_test_pipeline():
    cfg = load_config(DIGITS)
    part = cfg.train_dataloader.dataset.dataset
    both = ConfigDict(type='ConcatDataset', datasets=[part, part])
    cfg.train_dataloader.dataset = both
    cfg.val_dataloader.dataset = ConfigDict(
        type='ConcatDataset', datasets=[cfg.val_dataloader.dataset]
    )
    expected = cfg.val_dataloader.dataset.datasets[0].pipeline
    held = trial_config(cfg, 'softmax', 0, 0.2).val_dataloader.dataset
    assert [p.pipeline for p in held.dataset.datasets] == [expected] * 2
    assert part.pipeline != expected


def test_a_method_brings_its_head_and_hooks_and_leaves_with_them():
    cfg = load_config('ldam_drw/resnet8_digits_lt')
    kinds = [hook.type for hook in cfg.custom_hooks]
    assert 'DeferredReweightingHook' in kinds
    softmax = with_method(cfg, 'softmax')
    plain = load_config(DIGITS)
    assert softmax.model == plain.model
    assert softmax.custom_hooks == plain.custom_hooks
    cfg.custom_hooks.append(ConfigDict(type='ClassMeanInitHook'))
    assert with_method(cfg, 'softmax').custom_hooks == plain.custom_hooks
    cfg.custom_hooks.pop()
    back = with_method(softmax, 'ldam_drw')
    assert back.model == cfg.model and back.custom_hooks == cfg.custom_hooks
    kinds = [
        hook.type for hook in trial_config(cfg, 'ghm_cwap', 0, 0.2).custom_hooks
    ]
    assert 'AURARebinHook' in kinds and 'ClassCountsHook' in kinds
    assert not {'HistogramPictureHook', 'GroupTableHook'} & set(kinds)


def test_an_iteration_based_recipe():
    cfg = load_config(DIGITS)
    cfg.train_cfg = ConfigDict(
        type='IterBasedTrainLoop', max_iters=120, val_interval=20
    )
    assert run_length(cfg) == 120
    assert trial_config(cfg, 'softmax', 0, 0.2).train_cfg.val_interval == 120


@pytest.mark.parametrize(
    'change, method, message',
    [
        ({}, 'ghm_cwpa', 'no method ghm_cwpa; did you mean ghm_cwap?'),
        ({'model': None}, 'softmax', 'model.head.num_classes is missing'),
        ({'train_cfg': None}, 'softmax', 'the config has no train_cfg'),
        (
            {'val_dataloader': None, 'test_dataloader': None},
            'softmax',
            'takes the pipeline for held-out images from val_dataloader',
        ),
        (
            {'model.head.type': 'VisionTransformerClsHead'},
            'ldam',
            'the config has VisionTransformerClsHead: leave ldam',
        ),
    ],
)
def test_configs_that_cannot_be_tried(change, method, message):
    cfg = load_config(DIGITS)
    cfg.merge_from_dict(change)
    with pytest.raises(UserError, match=message.replace('?', r'\?')):
        check_methods(cfg, [method])


def test_every_loss_of_the_package_is_tried():
    assert {'softmax', 'ghm_cwap', 'seesaw', 'ldam_drw', 'focal'} < set(LOSSES)
    assert 'ghm_cwap_printed' not in LOSSES


def test_what_is_frozen():
    assert is_frozen(frozen_config())
    assert not is_frozen(frozen_config(trains=True))
    assert not is_frozen(load_config(DIGITS))
    # A hidden layer in the head learns.
    cfg = frozen_config()
    cfg.model.head.update(type='StackedLinearClsHead', mid_channels=[16])
    assert not is_frozen(cfg)


def test_features_give_what_the_whole_network_gives(tmp_path):
    cfg = frozen_config()
    for method in ('ghm_cwap', 'effective_number_drw'):
        trial = trial_config(cfg, method, 1, 0.2)
        whole = tmp_path / f'{method}.npz'
        run_trial(trial.to_dict(), whole, tmp_path / method)
        write_frozen_features(trial.to_dict(), tmp_path / 'frozen')
        on_features = feature_config(trial, tmp_path / 'frozen' / FEATURES)
        quick = tmp_path / f'{method}_quick.npz'
        run_trial(
            on_features.to_dict(),
            quick,
            tmp_path / f'{method}_quick',
            keep_classifier=True,
        )
        with np.load(whole) as expected, np.load(quick) as found:
            assert (found['labels'] == expected['labels']).all()
            assert (found['predicted'] == expected['predicted']).all()
            assert np.allclose(
                found['confidence'], expected['confidence'], atol=1e-5
            )
            assert found['weight'].shape == (10, 16)
            # It learned something: chance is 10 %.
            assert (found['predicted'] == found['labels']).mean() > 0.3


def test_a_result_is_not_made_twice_and_settings_tell_results_apart(tmp_path):
    out = tmp_path / 'out.npz'
    out.write_bytes(b'there')
    run_trial({}, out, tmp_path / 'run')
    assert out.read_bytes() == b'there'
    cfg = load_config(DIGITS)
    prints = {
        fingerprint(trial_config(cfg, method, seed, share))
        for method in ('softmax', 'seesaw')
        for seed in (0, 1)
        for share in (0.2, 0.3)
    }
    assert len(prints) == 8


def test_other_images_are_other_data(tmp_path, monkeypatch):
    weights = tmp_path / 'weights.pth'
    weights.write_bytes(b'old')

    def digest():
        train = dict(type='ImageFolder', data_root=str(tmp_path), pipeline=[])
        cfg = load_config(DIGITS)
        cfg.model.backbone.init_cfg = dict(
            type='Pretrained', checkpoint=str(weights)
        )
        cfg.train_dataloader.dataset = train
        plan = Plan(cfg, ('softmax',), 1, 0.5, False, tmp_path)
        return data_digest(plan.parts(), cfg)

    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / name / f'{number}.png'), np.eye(4))
    found = [digest(), digest()]
    (tmp_path / 'a/3.png').rename(tmp_path / 'b/4.png')
    found.append(digest())
    cv2.imwrite(str(tmp_path / 'b/4.png'), np.arange(16).reshape(4, 4))
    found.append(digest())
    weights.write_bytes(b'newer')
    found.append(digest())
    monkeypatch.setattr(settings, 'package_versions', lambda: {'torch': '9'})
    found.append(digest())
    assert found[0] == found[1] and len(set(found)) == 5


def test_a_group_without_held_out_images_decides_nothing(tmp_path):
    cfg = load_config(DIGITS)
    counts = [40, 30, 10, 8, 4, 3, 2, 2, 1, 1]
    cfg.train_dataloader.dataset.class_counts = counts
    plan = Plan(cfg, ('softmax',), 1, 0.2, False, tmp_path)
    with pytest.raises(UserError, match='none of these 2 classes has two'):
        look_at(plan, 'group:rare', TextConsole())
    assert look_at(plan, 'group:few', TextConsole())[0].tolist() == counts


def test_a_head_made_anew_leaves_the_network_whole(tmp_path):
    cfg = load_config(DIGITS)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model, other = (MODELS.build(cfg.model) for _ in range(2))
    # As networks of timm call their layers.
    model.backbone.conv_head = torch.nn.Conv2d(1, 1, 1)
    whole = set(model.state_dict())
    made = other.head
    torch.nn.init.ones_(made.fc.weight)
    path = str(tmp_path / 'made.pth')
    _save(Namespace(losses=['softmax'], save=path, meta={}), cfg, model, made)
    weights = torch.load(path)['state_dict']
    assert set(weights) == whole and (weights['head.fc.weight'] == 1).all()


def test_planning_is_quick_for_many_classes():
    cfg = load_config(DIGITS)
    names = [f'class of a long name {number}' for number in range(1000)]
    cfg.train_dataloader.dataset.dataset.metainfo = dict(classes=names)
    plan = Plan(cfg, tuple(LOSSES), 3, 0.2, False, Path('choice'))
    start = time.process_time()
    assert len({job.out for job in plan.trials()}) == 3 * len(LOSSES)
    assert time.process_time() - start < 5


def test_time_is_that_of_all_steps():
    cfg = trial_config(frozen_config(epochs=1), 'softmax', 0, 0.2)
    one = time_trial(cfg.to_dict(), seconds=0.5, threads=1)
    cfg.train_cfg.max_epochs = 1000
    many = time_trial(cfg.to_dict(), seconds=0.5, threads=1)
    # 7 steps against 7,000; judging once each.
    assert 0 < one < 5 and 100 < many / one < 4000


def test_heads_without_a_linear_layer_are_named():
    head = load_config('ldam/resnet8_digits_lt').model.head
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(head)
    with pytest.raises(UserError, match='got NormedLinearClsHead'):
        linear_classifier(built)


def test_a_budget_cuts_seeds_first_and_says_so(tmp_path):
    methods = ('softmax', 'balanced_softmax', 'ghm_cwap')
    plan = Plan(load_config(DIGITS), methods, 3, 0.2, False, tmp_path)

    def cost(of):
        return 10.0 * of.seeds * len(of.methods)

    assert plan.within(None, cost) == (plan, '')
    assert plan.within(90, cost) == (plan, '')
    left, cut = plan.within(60, cost)
    assert (left.seeds, left.methods) == (2, methods)
    assert cut == '2 of 3 seeds'
    left, cut = plan.within(25, cost)
    assert (left.seeds, left.methods) == (1, methods[:2])
    assert cut == '1 of 3 seeds, without ghm_cwap'
    with pytest.raises(
        UserError, match='softmax and balanced_softmax with one'
    ):
        plan.within(19, cost)


def test_another_head_trains_its_last_layer_on_features(tmp_path):
    cfg = load_config(DIGITS)
    start = dict(type='Constant', layer='Linear', val=0)
    cfg.model.head = ConfigDict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=64,
        init_cfg=start,
        loss=cfg.model.head.loss,
    )
    path = tmp_path / FEATURES
    zeros = dict(train=(4, 16), train_labels=4, holdout=(2, 16))
    arrays = {name: np.zeros(shape) for name, shape in zeros.items()}
    np.savez(path, **arrays, holdout_labels=np.zeros(2))
    trial = trial_config(cfg, 'focal', 0, 0.2)
    head = feature_config(trial, path).model.head
    assert head.type == 'LinearClsHead' and head.in_channels == 16
    assert head.init_cfg == start and head.loss.type == 'SoftmaxFocalLoss'
