import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmghm.engine import AURARebinHook
from mmghm.fileio.checkpoints import safe_checkpoints
from mmghm.models import GHMCWAPLoss

from ..conftest import needs_safe_loading


def loss_of(runner):
    return runner.model.head.loss_module


def with_hooks(cfg, **kwargs):
    cfg.custom_hooks = [
        dict(type='EpochSeedHook'),
        dict(type='ClassCountsHook'),
        dict(type='AURARebinHook', **kwargs),
    ]
    return cfg


def test_rebins_each_epoch_and_trains(digits_cfg):
    runner = Runner.from_cfg(digits_cfg(max_epochs=6))
    runner.train()
    loss = loss_of(runner)
    assert loss.histogram.num_epochs == 6 and not loss.histogram.counts.any()
    assert loss.class_counts.tolist() == [
        143,
        102,
        73,
        52,
        37,
        27,
        19,
        13,
        9,
        7,
    ]
    # One epoch's examples, by class.
    examples = loss.histogram.finished_examples
    torch.testing.assert_close(
        examples.sum(1), loss.class_counts.float(), rtol=1e-4, atol=1e-4
    )
    history, _ = runner.message_hub.get_scalar('train/loss').data
    # The loss falls: eight iterations an epoch.
    assert history[-8:].mean() < 0.7 * history[:8].mean()
    assert runner.message_hub.get_scalar('train/ghm/weight_max').current() > 1


@needs_safe_loading
@pytest.mark.parametrize('num_workers', [0, 2])
def test_resumed_run_equals_uninterrupted(digits_cfg, tmp_path, num_workers):
    cfg = digits_cfg(max_epochs=4)
    cfg.train_dataloader.update(
        num_workers=num_workers,
        persistent_workers=False,
        worker_init_fn=dict(type='seed_worker'),
    )
    whole = Runner.from_cfg(with_hooks(copy.deepcopy(cfg), begin=1))
    whole.train()
    resumed_cfg = with_hooks(copy.deepcopy(cfg), begin=1)
    resumed_cfg.resume = True
    resumed_cfg.load_from = f'{cfg.work_dir}/epoch_3.pth'
    resumed_cfg.work_dir = str(tmp_path / 'resumed')
    resumed_cfg.experiment_name += '_resumed'
    resumed = Runner.from_cfg(resumed_cfg)
    with safe_checkpoints():
        resumed.train()
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


def weighs(loss):
    """Whether a loss is anything but cross-entropy with a margin."""
    logits, target = torch.randn(64, 10), torch.arange(64) % 10
    values = []
    loss.eval()
    for loss.intra_balance in (False, True):
        values.append(loss(logits, target))
    loss.train()
    return not torch.allclose(*values)


@pytest.mark.parametrize(
    'begin, active',
    [
        (0, [1, 1, 1, 1]),
        (2, [0, 0, 1, 1]),
        (0.5, [0, 0, 1, 1]),
        (9, [0, 0, 0, 0]),
    ],
)
def test_begin(digits_cfg, begin, active):
    runner = Runner.from_cfg(with_hooks(digits_cfg(max_epochs=4), begin=begin))
    seen = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        loss = loss_of(runner)
        seen.append((runner.epoch, loss.weights_active, weighs(loss)))
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    by_epoch = {epoch: is_active for epoch, is_active, _ in seen}
    assert by_epoch == {e: bool(a) for e, a in enumerate(active)}
    # Switched off, W is 1 everywhere; counting goes on all the same.
    assert not any(weighs for _, is_active, weighs in seen if not is_active)
    assert loss_of(runner).histogram.num_epochs == 4


@needs_safe_loading
@pytest.mark.parametrize('resume_at, active', [(1, False), (3, True)])
def test_begin_right_after_a_resume(digits_cfg, resume_at, active):
    cfg = with_hooks(digits_cfg(max_epochs=4), begin=2)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    cfg.update(resume=True, load_from=f'{cfg.work_dir}/epoch_{resume_at}.pth')
    cfg.experiment_name += '_resumed'
    runner = Runner.from_cfg(cfg)
    seen = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        seen.append(loss_of(runner).weights_active)
        return step(*args, **kwargs)

    runner.model.train_step = spy
    with safe_checkpoints():
        runner.train()
    assert seen[0] is active and seen[-1] is True


def test_iteration_based_loop(digits_cfg):
    cfg = with_hooks(digits_cfg(), interval=5, begin=2)
    cfg.train_cfg = dict(by_epoch=False, max_iters=20, val_interval=20)
    cfg.default_hooks.checkpoint.by_epoch = False
    cfg.param_scheduler = None
    cfg.log_processor = dict(by_epoch=False)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    runner = Runner.from_cfg(cfg)
    seen = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        loss = loss_of(runner)
        seen.append((int(loss.histogram.num_epochs), loss.weights_active))
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    assert [n for n, _ in seen] == [i // 5 for i in range(20)]
    assert [a for _, a in seen] == [i >= 10 for i in range(20)]
    assert loss_of(runner).histogram.num_epochs == 4


def test_interval_defaults_to_one_pass(digits_cfg):
    cfg = with_hooks(digits_cfg())
    cfg.train_cfg = dict(by_epoch=False, max_iters=9, val_interval=9)
    cfg.param_scheduler = None
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert (
        loss_of(runner).histogram.num_epochs == 1
    )  # 482 images, 64 a batch: 8 steps


def test_checkpoint_holds_the_rebinned_state(digits_cfg):
    cfg = digits_cfg(max_epochs=2)
    runner = Runner.from_cfg(cfg)
    runner.train()
    with safe_checkpoints():
        state = torch.load(f'{cfg.work_dir}/epoch_2.pth')['state_dict']
    prefix = 'head.loss_module.histogram.'
    assert not state[prefix + 'counts'].any()
    assert state[prefix + 'num_epochs'] == 2
    assert torch.equal(state[prefix + 'edges'], loss_of(runner).histogram.edges)


def test_order_of_hooks(digits_cfg):
    cfg = digits_cfg()
    cfg.custom_hooks = [
        dict(type='EMAHook'),
        dict(type='SyncBuffersHook'),
        dict(type='AURARebinHook'),
    ]
    names = [type(h).__name__ for h in Runner.from_cfg(cfg).hooks]
    ours = names.index('AURARebinHook')
    assert names.index('DeferredRuntimeInfoHook') < ours
    for later in (
        'EMAHook',
        'SyncBuffersHook',
        'LoggerHook',
        'AtomicCheckpointHook',
    ):
        assert ours < names.index(later), later


def test_runs_beside_ema_and_mixup(digits_cfg):
    cfg = with_hooks(digits_cfg(max_epochs=2))
    cfg.custom_hooks.append(
        dict(type='EMAHook', momentum=0.1, update_buffers=True)
    )
    cfg.model.train_cfg = dict(augments=dict(type='Mixup', alpha=0.8))
    runner = Runner.from_cfg(cfg)
    runner.train()
    loss = loss_of(runner)
    examples = loss.histogram.finished_examples
    # Mixup moves shares between classes and loses none.
    assert examples.sum().item() == pytest.approx(482, abs=0.1)
    assert loss.histogram.num_epochs == 2


def test_raises_without_a_loss_to_serve(digits_cfg):
    cfg = with_hooks(digits_cfg(config='softmax/resnet8_digits_lt.py'))
    with pytest.raises(ValueError, match='found no loss with histograms'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize(
    'kwargs, error',
    [
        (dict(interval=0), ValueError),
        (dict(interval='1'), TypeError),
        (dict(begin=-1), ValueError),
        (dict(begin=1.5), ValueError),
        (dict(begin=True), TypeError),
        (dict(begin=float('nan')), ValueError),
    ],
)
def test_refuses_bad_arguments(kwargs, error):
    with pytest.raises(error, match=next(iter(kwargs))):
        AURARebinHook(**kwargs)


class PlainDataset(torch.utils.data.Dataset):
    """A dataset of plain PyTorch: no metainfo, labels only on request."""

    def __init__(self, with_targets):
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(40, 6, generator=generator)
        self.labels = torch.tensor([0] * 30 + [1] * 8 + [2] * 2)
        if with_targets:
            self.targets = self.labels

    def __len__(self):
        return 40

    def __getitem__(self, idx):
        return self.features[idx], self.labels[idx]


class PlainModel(BaseModel):
    """No mmpretrain in sight."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 3)
        self.criterion = GHMCWAPLoss(3)

    def forward(self, features, labels, mode='loss'):
        return dict(loss=self.criterion(self.linear(features), labels))


@pytest.mark.parametrize('with_targets', [True, False])
def test_serves_any_mmengine_project(tmp_path, with_targets):
    loader = torch.utils.data.DataLoader(PlainDataset(with_targets), 8)
    model = PlainModel()
    Runner(
        model,
        str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type='AURARebinHook')],
        experiment_name=f'plain_{with_targets}',
    ).train()
    loss = model.criterion
    assert loss.histogram.num_epochs == 2
    known = [30, 8, 2] if with_targets else [0, 0, 0]
    assert loss.class_counts.tolist() == known
    examples = (loss.histogram.finished_examples).sum(1)
    torch.testing.assert_close(examples, torch.tensor([30.0, 8.0, 2.0]))
