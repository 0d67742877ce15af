import numpy as np
import torch

from mmghm.losses import GHMCWAPLoss
from mmghm.visualization.distribution import draw_class_distribution
from mmghm.visualization.histograms import draw_histograms


def test_a_panel_without_a_class_is_blank():
    loss = GHMCWAPLoss(num_classes=4, class_counts=[50, 20, 10, 5])
    loss(torch.randn(85, 4), torch.arange(85) % 4)
    loss.rebin()
    panels = draw_histograms(loss).axes[:6]
    assert [axes.axison for axes in panels] == [True] * 4 + [False] * 2


def test_every_group_is_drawn():
    counts = np.array([900, 600, 200, 60, 20, 8, 2])
    (axes,) = draw_class_distribution(counts, rule=(500, 100, 50, 10)).axes
    bars = [bar for group in axes.containers for bar in group]
    assert sorted(bar.get_height() for bar in bars) == sorted(counts)
