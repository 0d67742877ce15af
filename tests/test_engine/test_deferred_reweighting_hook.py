import copy

import pytest
from mmengine.runner import Runner

from mmghm.cells import compose
from mmghm.engine import DeferredReweightingHook
from mmghm.engine.checkpoints import safe_checkpoints


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
    with safe_checkpoints():
        runner.train()
    return seen


@pytest.mark.parametrize('method', ['ldam_drw', 'effective_number_drw'])
def test_weights_act_from_begin_on_also_after_a_resume(
    digits_cfg, tmp_path, method
):
    cfg = compose(method, 'resnet8_digits_lt')
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


def test_refuses_bad_begin():
    with pytest.raises(ValueError, match='begin'):
        DeferredReweightingHook(begin=-1)
