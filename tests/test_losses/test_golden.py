"""What is computed changes only together with the version of the results.

``python -m tests.test_losses.test_golden`` writes golden.json again, once a change has its
entry in ``study/result_version.py``.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmpretrain.registry import MODELS
from torch import nn

from mmghm.engine.configs import compose, method_names
from study.result_version import CHANGES, VERSION, version_since

GOLDEN = Path(__file__).parent / 'golden.json'
COUNTS = (143, 102, 73, 52, 37, 27, 19, 14, 10, 7)
TASKS = ('resnet8_digits_lt', 'resnet32_cifar10_lt', 'resnet50_imagenet_lt')


def built_head(cfg):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MODELS.build(cfg.model.head)
    head.init_weights()
    return head


def loss_values(method):
    """Losses and gradients of a method over three epochs of one batch."""
    loss = built_head(compose(method, 'resnet8_digits_lt')).loss_module
    if hasattr(loss, 'set_class_counts'):
        loss.set_class_counts(np.array(COUNTS))
    rng = np.random.default_rng(0)
    seen = []
    torch.manual_seed(0)
    for _ in range(3):
        logits = torch.tensor(
            rng.normal(0, 2, (64, 10)), dtype=torch.float32, requires_grad=True
        )
        target = torch.tensor(rng.integers(0, 10, 64))
        value = loss(logits, target)
        value.backward()
        seen += [value.item(), logits.grad.abs().sum().item()]
        if hasattr(loss, 'rebin'):
            loss.rebin()
    return seen


def start_values(method, task):
    """Size of the classifier's weights before training."""
    head = built_head(compose(method, task))
    weight = next(head.parameters())
    return [weight.norm(dim=1).mean().item(), weight.abs().sum().item()]


def learning_rates(task):
    """A run of 50 epochs, every fifth."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = PARAM_SCHEDULERS.build(
        dict(compose('softmax', task).param_scheduler, end=50),
        default_args=dict(optimizer=optimizer, epoch_length=1),
    )
    seen = []
    for _ in range(50):
        seen.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return seen[::5]


def values():
    # mmpretrain's own losses are not ours to watch.
    methods = [m for m in method_names() if m != 'label_smoothing']
    return {
        **{f'loss/{method}': loss_values(method) for method in methods},
        **{
            f'start/{method}/{task}': start_values(method, task)
            for method in ('softmax', 'ldam')
            for task in TASKS[:2]
        },
        **{f'schedule/{task}': learning_rates(task) for task in TASKS},
    }


def test_values_are_those_of_the_version():
    golden = json.loads(GOLDEN.read_text())
    assert golden['version'] == VERSION == max(c.version for c in CHANGES)
    found = values()
    changed = [
        name
        for name in sorted({*found, *golden['values']})
        if found.get(name) != pytest.approx(golden['values'].get(name), 1e-4)
    ]
    assert not changed, (
        f'{changed} changed: add a Change to study/result_version.py, '
        'raise VERSION and run python -m tests.test_losses.test_golden'
    )


def test_a_change_touches_what_it_names():
    assert version_since('softmax', 'resnet8_digits_lt') == 1
    assert version_since('ldam_drw', 'resnet8_digits_lt') == 2
    assert version_since('softmax', 'resnet32_cifar10_lt_decoded') == 2


if __name__ == '__main__':
    GOLDEN.write_text(
        json.dumps(dict(version=VERSION, values=values()), indent=1) + '\n'
    )
