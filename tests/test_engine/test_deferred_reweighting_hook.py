import copy

import pytest
from mmengine.runner import Runner

from mmghm.engine import DeferredReweightingHook
from mmghm.engine.configs import compose


def run(cfg):
    runner = Runner.from_cfg(cfg)
    seen = {}
    step = runner.model.train_step

    def spy(*args, **kwargs):
        loss = runner.model.head.loss_module
        weighted = bool((loss.class_weights != 1).any())
        seen[runner.epoch] = loss.weights_active and weighted
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    return seen


def test_weights_act_from_begin_on_also_after_a_resume(digits_cfg, tmp_path):
    cfg = compose('ldam_drw', 'resnet8_digits_lt')
    cfg.merge_from_dict(
        {
            k: v
            for k, v in digits_cfg(max_epochs=4).items()
            if k in ('work_dir', 'train_cfg', 'visualizer', 'experiment_name')
        }
    )
    cfg.custom_hooks[-1].begin = 0.5
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    assert run(copy.deepcopy(cfg)) == {0: False, 1: False, 2: True, 3: True}
    for epoch in (1, 3):
        again = copy.deepcopy(cfg)
        again.update(
            resume=True,
            load_from=f'{cfg.work_dir}/epoch_{epoch}.pth',
            experiment_name=f'{cfg.experiment_name}_{epoch}',
            work_dir=str(tmp_path / f'resumed{epoch}'),
        )
        assert run(again) == {e: e >= 2 for e in range(epoch, 4)}


def test_raises_without_class_weights(digits_cfg):
    cfg = digits_cfg(config='softmax/resnet8_digits_lt.py')
    cfg.custom_hooks.append(dict(type='DeferredReweightingHook'))
    with pytest.raises(ValueError, match='no loss with class weights'):
        Runner.from_cfg(cfg).train()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('hook', 'first'),
    [(dict(begin=0.8), 40), (dict(begin=3, interval=8), 24)],
)
def test_weights_act_under_an_iteration_based_loop(digits_cfg, hook, first):
    cfg = digits_cfg(config='softmax/resnet8_digits_lt.py')
    cfg.model.head.loss.weighting = 'effective_number'
    cfg.train_cfg = dict(by_epoch=False, max_iters=50, val_interval=50)
    cfg.default_hooks.checkpoint.by_epoch = False
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.custom_hooks.append(dict(type='DeferredReweightingHook', **hook))
    runner = Runner.from_cfg(cfg)
    # A pass over the 506 images takes 8 iterations.
    active = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        active.append(runner.model.head.loss_module.weights_active)
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    assert active == [i >= first for i in range(50)]


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (dict(begin=-1), ValueError),
        (dict(begin='late'), TypeError),
        (dict(interval=0), ValueError),
        (dict(interval=2.5), TypeError),
    ],
)
def test_refuses_bad_arguments(options, error):
    with pytest.raises(error, match=next(iter(options))):
        DeferredReweightingHook(**options)
