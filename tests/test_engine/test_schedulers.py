"""The learning rate of every shipped schedule, step by step."""

import math
import warnings

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner
from torch import nn

from mmghm.engine.configs import compose, task_names

STEPS = 8


def learning_rates(cfg, epochs, steps=STEPS, start=None, stop=None):
    """What a run trains with, iteration by iteration, and its schedulers."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], cfg.lr)
    # As Runner.build_param_scheduler does.
    scheduler_cfg = dict(cfg.scheduler)
    by_epoch = scheduler_cfg.get('by_epoch', True)
    scheduler_cfg.setdefault('end', epochs if by_epoch else epochs * steps)
    scheduler = PARAM_SCHEDULERS.build(
        scheduler_cfg,
        default_args=dict(optimizer=optimizer, epoch_length=steps),
    )
    if start is not None:
        optimizer.load_state_dict(start['optimizer'])
        scheduler.load_state_dict(start['scheduler'])
    seen = []
    for step in range(start['step'] if start else 0, stop or epochs * steps):
        seen.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        if not by_epoch or (step + 1) % steps == 0:
            scheduler.step()
    state = dict(
        optimizer=optimizer.state_dict(),
        scheduler=scheduler.state_dict(),
        step=stop,
    )
    return seen, state


class Schedule:
    def __init__(self, task):
        cfg = compose('softmax', task)
        self.lr = cfg.optim_wrapper.optimizer.lr
        self.scheduler = cfg.param_scheduler
        self.epochs = cfg.train_cfg.max_epochs


def steps_down(t, lr, warmup, stairs, milestones, gamma):
    if t < warmup:
        return lr * (math.floor(t * stairs / warmup + 1e-9) + 1) / stairs
    for milestone in milestones:
        if t >= milestone - 1e-9:
            lr *= gamma
    return lr


def cosine(t, total, lr, warmup=0.0, low=0.0):
    """t counts steps here."""
    if t < warmup * total:
        return lr * min((t + 1) / (warmup * total), 1)
    first = min(math.ceil(warmup * total - 1e-6), total - 1)
    part = (t - first) / (total - first)
    return low + (lr - low) * (1 + math.cos(math.pi * part)) / 2


FORMULAS = {
    0.1: {
        200: lambda t, n: steps_down(
            t / n, 0.1, 5 / 200, 5, (160 / 200, 180 / 200), 0.01
        ),
        40: lambda t, n: steps_down(
            t / n, 0.1, 5 / 40, 5, (32 / 40, 36 / 40), 0.1
        ),
    },
    0.2: {90: lambda t, n: cosine(t, n, 0.2)},
    0.01: {
        30: lambda t, n: cosine(t, n, 0.01, 1 / 30),
        10: lambda t, n: cosine(t, n, 0.01),
        20: lambda t, n: cosine(t, n, 0.01),
    },
    1e-3: {300: lambda t, n: cosine(t, n, 1e-3, 20 / 300, 1e-5)},
}


@pytest.mark.parametrize('length', [1, 2, 7, 'default', 'twice'])
def test_whole_curves(length):
    schedules = {(s.lr, s.epochs): s for s in map(Schedule, task_names())}
    assert len(schedules) == sum(map(len, FORMULAS.values()))
    for (lr, default), schedule in schedules.items():
        epochs = {'default': default, 'twice': 2 * default}.get(length, length)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            seen, _ = learning_rates(schedule, epochs)
        total = epochs * STEPS
        expected = [FORMULAS[lr][default](t, total) for t in range(total)]
        assert seen == pytest.approx(expected, rel=1e-6)
        # The largest rate is the documented one, and the last is small.
        assert max(seen) == pytest.approx(lr, rel=1e-6)
        assert seen[-1] <= 0.1 * lr


def test_milestones_and_stairs_are_the_papers():
    seen, _ = learning_rates(Schedule('resnet32_cifar10_lt'), 200)
    by_epoch = [
        seen[epoch * STEPS : (epoch + 1) * STEPS] for epoch in range(200)
    ]
    assert all(max(rates) == min(rates) for rates in by_epoch)
    rates = [r[0] for r in by_epoch]
    assert rates[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])
    assert rates[159:161] == pytest.approx([0.1, 0.001])
    assert rates[179:181] == pytest.approx([0.001, 1e-5])


def test_warm_up_goes_on_when_a_run_is_resumed_with_more_epochs():
    schedule = Schedule('resnet50_imagenet_lt')
    whole, _ = learning_rates(schedule, 20)
    _, state = learning_rates(schedule, 10, stop=40)
    rest, _ = learning_rates(schedule, 20, start=state)
    # The first step after the resume still has the rate that was saved.
    assert rest[1:] == pytest.approx(whole[41:])


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_finished_run_goes_on_by_the_longer_schedule(by_epoch):
    schedule = Schedule('resnet32_cifar10_lt')
    schedule.scheduler['by_epoch'] = by_epoch
    whole, _ = learning_rates(schedule, 20)
    _, state = learning_rates(schedule, 10, stop=10 * STEPS)
    rest, _ = learning_rates(schedule, 20, start=state)
    assert rest == pytest.approx(whole[10 * STEPS :])


def test_a_schedule_that_begins_later_is_resumed_where_it_was():
    schedule = Schedule('resnet32_cifar10_lt')
    schedule.scheduler.update(by_epoch=True, begin=4)
    whole, _ = learning_rates(schedule, 20)
    _, state = learning_rates(schedule, 20, stop=10 * STEPS)
    rest, _ = learning_rates(schedule, 20, start=state)
    assert rest == pytest.approx(whole[10 * STEPS :])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(type='WarmupCosineLR', warmup=5), r'warmup .* got 5'),
        (dict(type='WarmupCosineLR', eta_min=-1), 'eta_min .* got -1'),
        (
            dict(type='WarmupCosineLR', warmup_stairs=0),
            'warmup_stairs .* got 0',
        ),
        (
            dict(type='WarmupMultiStepLR', milestones=[160, 180]),
            r'milestones .* got \[160, 180\]; epoch 160 of 200 is 0.8',
        ),
        (
            dict(type='WarmupMultiStepLR', milestones=[0.5], gamma=0),
            'gamma .* got 0',
        ),
    ],
)
def test_refuses_what_is_no_fraction(options, message):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    with pytest.raises(ValueError, match=message):
        PARAM_SCHEDULERS.build(
            options, default_args=dict(optimizer=optimizer, end=10)
        )


@pytest.mark.parametrize('epochs', [1, 2])
def test_a_runner_trains_by_it(digits_cfg, epochs):
    """What the runner sets agrees with learning_rates above."""
    runner = Runner.from_cfg(digits_cfg(max_epochs=epochs))
    seen = []
    step = runner.model.train_step

    def spy(data, optim_wrapper):
        seen.append(optim_wrapper.get_lr()['lr'][0])
        return step(data, optim_wrapper)

    runner.model.train_step = spy
    runner.train()
    steps = len(seen) // epochs
    expected, _ = learning_rates(
        Schedule('resnet8_digits_lt'), epochs, steps=steps
    )
    assert seen == pytest.approx(expected)
