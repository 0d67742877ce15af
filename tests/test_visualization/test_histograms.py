import torch

from mmghm.losses import GHMCWAPLoss
from mmghm.visualization.histograms import draw_histograms


def test_a_panel_without_a_class_is_blank():
    loss = GHMCWAPLoss(num_classes=4, class_counts=[50, 20, 10, 5])
    loss(torch.randn(85, 4), torch.arange(85) % 4)
    loss.rebin()
    panels = draw_histograms(loss).axes[:6]
    assert [axes.axison for axes in panels] == [True] * 4 + [False] * 2
