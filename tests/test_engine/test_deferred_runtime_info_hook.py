import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner


def train(cfg, hook):
    cfg.default_hooks.runtime_info = dict(type=hook)
    cfg.default_hooks.logger.interval = 5
    cfg.train_cfg.val_interval = 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    lines = Path(runner.log_dir, 'vis_data', 'scalars.json')
    scalars = runner.message_hub.log_scalars['train/loss'].data[0].tolist()
    logged = [json.loads(line) for line in lines.read_text().splitlines()]
    return scalars, [line.get('loss') for line in logged]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_logs_what_mmengine_logs(digits_cfg, by_epoch, tmp_path):
    found = []
    for hook in ('RuntimeInfoHook', 'DeferredRuntimeInfoHook'):
        cfg = digits_cfg(2)
        cfg.work_dir = str(tmp_path / hook)
        cfg.visualizer = dict(
            type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
        )
        if not by_epoch:
            cfg.train_cfg = dict(by_epoch=False, max_iters=13, val_interval=4)
            cfg.train_dataloader.sampler.type = 'InfiniteSampler'
            cfg.default_hooks.checkpoint.update(by_epoch=False, interval=100)
            cfg.log_processor = dict(by_epoch=False)
            cfg.param_scheduler = []
        found.append(train(cfg, hook))
    (scalars, lines), (theirs, their_lines) = found
    assert scalars == theirs and lines == their_lines
    assert len(scalars) == (16 if by_epoch else 13)
    assert sum(line is not None for line in lines) >= 2


def test_reads_the_device_once_a_line(digits_cfg, monkeypatch):
    cfg = digits_cfg(1)
    cfg.custom_hooks = [dict(type='ClassCountsHook')]
    cfg.default_hooks.checkpoint.interval = 9
    cfg.default_hooks.logger.interval = 4
    runner = Runner.from_cfg(cfg)
    reads = []
    read = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, 'tolist', lambda t: reads.append(t) or read(t)
    )
    runner.train()
    # Integers are the samplers' indices.
    assert [len(t) for t in reads if t.is_floating_point()] == [4, 4]
