import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmghm.engine import AURARebinHook, ClassCountsHook
from mmghm.losses import GHMCWAPLoss


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
    assert not loss.counts.any()
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
    examples = loss.finished_examples.sum(dim=1)
    assert examples.tolist() == loss.class_counts.tolist()
    saved = torch.load(f'{runner.work_dir}/epoch_6.pth')['state_dict']
    for name, value in loss.state_dict().items():
        assert torch.equal(saved[f'head.loss_module.{name}'], value), name
    history, _ = runner.message_hub.get_scalar('train/loss').data
    # The loss falls: eight iterations an epoch.
    assert history[-8:].mean() < 0.7 * history[:8].mean()
    assert runner.message_hub.get_scalar('train/ghm/weight_max').current() > 1


def test_resumed_run_equals_uninterrupted(digits_cfg, tmp_path):
    cfg = digits_cfg(max_epochs=4)
    cfg.train_dataloader.update(
        num_workers=2,
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
    resumed.train()
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


def watch(runner, name):
    """Values of an attribute of the loss while it trains, each once."""
    seen = {}
    step = runner.model.train_step

    def spy(*args, **kwargs):
        seen[getattr(loss_of(runner), name)] = True
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    return seen


def weighs(loss):
    """Whether a loss is anything but cross-entropy with a margin."""
    logits, target = torch.randn(64, 10), torch.arange(64) % 10
    values = []
    loss.eval()
    for loss.intra_balance in (False, True):
        values.append(loss(logits, target))
    loss.train()
    return not torch.allclose(*values)


@pytest.mark.parametrize('begin', [2, 0.5])
def test_begin(digits_cfg, begin):
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
    assert by_epoch == {0: False, 1: False, 2: True, 3: True}
    # Switched off, W is 1 everywhere.
    assert not any(weighs for _, is_active, weighs in seen if not is_active)
    # Counting goes on all the same.
    assert loss_of(runner).finished_examples.sum() == 482


def test_begin_right_after_a_resume(digits_cfg):
    cfg = with_hooks(digits_cfg(max_epochs=3), begin=2)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    for resume_at, active in ((1, [False, True]), (2, [True])):
        cfg.update(
            resume=True,
            load_from=f'{cfg.work_dir}/epoch_{resume_at}.pth',
            experiment_name=f'{cfg.experiment_name}_{resume_at}',
        )
        runner = Runner.from_cfg(copy.deepcopy(cfg))
        assert list(watch(runner, 'weights_active')) == active


def by_iteration(cfg, **kwargs):
    """20 iterations, an epoch every 5, W from the third epoch on."""
    cfg = with_hooks(cfg, interval=5, begin=2)
    cfg.train_cfg = dict(by_epoch=False, max_iters=20, val_interval=20)
    cfg.default_hooks.checkpoint.update(by_epoch=False, **kwargs)
    cfg.param_scheduler = None
    cfg.log_processor = dict(by_epoch=False)
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    return cfg


def test_iteration_based_loop(digits_cfg):
    runner = Runner.from_cfg(by_iteration(digits_cfg()))
    seen = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        loss = loss_of(runner)
        counted = int(loss.counts.sum()) // 2**20
        seen.append((counted, loss.weights_active))
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    batch = runner.train_dataloader.batch_size
    assert [n for n, _ in seen] == [i % 5 * batch for i in range(20)]
    assert [a for _, a in seen] == [i >= 10 for i in range(20)]


def test_resumed_inside_an_interval(digits_cfg, tmp_path):
    """The counts of the interval under way go on."""
    cfg = by_iteration(digits_cfg(), interval=13, max_keep_ckpts=-1)
    whole = Runner.from_cfg(copy.deepcopy(cfg))
    whole.train()
    cfg.update(resume=True, load_from=f'{cfg.work_dir}/iter_13.pth')
    cfg.work_dir = str(tmp_path / 'resumed')
    cfg.experiment_name += '_resumed'
    resumed = Runner.from_cfg(cfg)
    counted = []
    step = resumed.model.train_step

    def spy(*args, **kwargs):
        counted.append(int(loss_of(resumed).counts.sum()) // 2**20)
        return step(*args, **kwargs)

    resumed.model.train_step = spy
    resumed.train()
    batch = resumed.train_dataloader.batch_size
    assert counted == [i % 5 * batch for i in range(13, 20)]


def test_interval_defaults_to_one_pass(digits_cfg):
    cfg = with_hooks(digits_cfg())
    cfg.train_cfg = dict(by_epoch=False, max_iters=9, val_interval=9)
    cfg.param_scheduler = None
    cfg.train_dataloader.sampler.type = 'InfiniteSampler'
    runner = Runner.from_cfg(cfg)
    runner.train()
    # 482 images, 64 a batch: 8 steps, and one after them.
    assert loss_of(runner).finished_examples.sum() == 8 * 64
    assert loss_of(runner).counts.sum() == 64 * 2**20


@pytest.mark.parametrize('given', [False, True])
def test_load_from_takes_no_state_of_the_loss(digits_cfg, tmp_path, given):
    """What was counted on other data would be wrong here."""
    cfg = digits_cfg(max_epochs=1)
    Runner.from_cfg(copy.deepcopy(cfg)).train()
    cfg.load_from = f'{cfg.work_dir}/epoch_1.pth'
    cfg.work_dir = str(tmp_path / 'second')
    cfg.experiment_name += '_second'
    counts = [7, 9, 14, 19, 27, 37, 52, 73, 102, 143]
    cfg.train_dataloader.dataset.update(class_counts=counts)
    if given:
        cfg.model.head.loss.class_counts = counts = [n + 1 for n in counts]
    runner = Runner.from_cfg(cfg)
    seen = []
    step = runner.model.train_step

    def spy(*args, **kwargs):
        loss = loss_of(runner)
        seen.append(
            (loss.class_counts.tolist(), int(loss.finished_counts.sum()))
        )
        return step(*args, **kwargs)

    runner.model.train_step = spy
    runner.train()
    assert seen[0] == (counts, 0)


def test_a_loss_that_is_switched_in(digits_cfg, tmp_path):
    """MMPretrain's hook replaces the loss in its second epoch."""
    switched = dict(type='GHMCWAPLoss', num_classes=10, margin='balanced')
    cfg = digits_cfg(max_epochs=4)
    cfg.custom_hooks = [
        dict(type='EpochSeedHook'),
        dict(type='ClassCountsHook'),
        dict(type='AURARebinHook', begin=0.5),
        dict(
            type='SwitchRecipeHook',
            schedule=[dict(action_epoch=2, loss=switched)],
        ),
    ]
    whole = Runner.from_cfg(copy.deepcopy(cfg))
    whole.train()
    loss = loss_of(whole)
    assert loss.margin == 'balanced' and loss.weights_active
    assert loss.class_counts.sum() == loss.finished_examples.sum() == 482
    # Resumed, it goes on with what the checkpoint has of it.
    cfg.update(resume=True, load_from=f'{cfg.work_dir}/epoch_3.pth')
    cfg.work_dir = str(tmp_path / 'resumed')
    cfg.experiment_name += '_resumed'
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


def test_a_loss_that_is_switched_in_moves_to_the_network(digits_cfg):
    runner = Runner.from_cfg(digits_cfg())
    loss = GHMCWAPLoss(10)
    runner.model.head.loss_module = loss
    runner.model.backbone.to('meta')
    hook = ClassCountsHook()
    hook.losses, hook.welcome = {}, lambda runner, loss: None
    hook.find(runner)
    assert loss.edges.is_meta


def test_order_of_hooks(digits_cfg):
    cfg = digits_cfg()
    cfg.custom_hooks = [
        dict(type='EMAHook'),
        dict(type='SyncBuffersHook'),
        dict(type='AURARebinHook'),
    ]
    names = [type(h).__name__ for h in Runner.from_cfg(cfg).hooks]
    ours = names.index('AURARebinHook')
    assert names.index('RuntimeInfoHook') < ours
    for later in (
        'EMAHook',
        'SyncBuffersHook',
        'LoggerHook',
        'AtomicCheckpointHook',
    ):
        assert ours < names.index(later), later


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
    known = [30, 8, 2] if with_targets else [0, 0, 0]
    assert loss.class_counts.tolist() == known
    assert loss.finished_examples.sum(dim=1).tolist() == [30, 8, 2]
