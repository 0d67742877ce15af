from types import SimpleNamespace

import torch

from mmghm.engine import EpochSeedHook
from mmghm.engine.hooks import epoch_seed_hook


def test_ranks_and_epochs_draw_different_numbers(monkeypatch):
    drawn = set()
    for rank in (0, 1, 2):
        monkeypatch.setattr(epoch_seed_hook, 'get_rank', lambda r=rank: r)
        for epoch in (0, 1):
            for _ in range(2):
                runner = SimpleNamespace(seed=3, epoch=epoch)
                EpochSeedHook().before_train_epoch(runner)
                drawn.add(float(torch.rand(())))
    assert len(drawn) == 6
