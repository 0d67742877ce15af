"""Half precision, compilation, determinism, export."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.engine.hooks.loss_hook import switch_weights
from mmghm.losses import GHMCWAPLoss

from ..conftest import CONFIGS

KWARGS = dict(num_regions=5, class_counts=[90, 20, 3])


@pytest.fixture
def graphs():
    """What was compiled, by :func:`compiled`."""
    torch.compiler.reset()
    return []


def compiled(loss, graphs):
    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    return torch.compile(loss, fullgraph=True, backend=backend)


def targets(soft):
    labels = torch.randint(3, (16,))
    return 0.9 * F.one_hot(labels, 3) + 0.1 / 3 if soft else labels


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('soft', [False, True])
def test_autocast_rounds_the_logits_only(dtype, soft):
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 3)
    half, full = (GHMCWAPLoss(3, **KWARGS) for _ in '12')
    for _ in range(3):
        features, target = 4 * torch.randn(16, 8), targets(soft)
        with torch.autocast('cpu', dtype):
            logits = linear(features)
            value = half(logits, target)
        assert logits.dtype == dtype and value.dtype == torch.float32
        # The same logits outside of autocast: not one bit differs.
        assert torch.equal(value, full(logits.float(), target))
        half.rebin(), full.rebin()
        for name, state in full.state_dict().items():
            assert torch.equal(half.state_dict()[name], state), name


@pytest.mark.parametrize('soft', [False, True])
def test_one_graph_for_all_epochs(soft, graphs):
    loss, plain = GHMCWAPLoss(3, **KWARGS), GHMCWAPLoss(3, **KWARGS)
    fast = compiled(loss, graphs)
    for _ in range(4):
        logits = torch.randn(16, 3, requires_grad=True)
        target = targets(soft)
        value = fast(logits, target)
        torch.testing.assert_close(value, plain(logits, target))
        value.backward()
        loss.rebin(), plain.rebin()
    assert len(graphs) == 1


def test_switching_the_weights_on_compiles_once_more(graphs):
    loss = GHMCWAPLoss(3, **KWARGS)
    fast = compiled(loss, graphs)
    for active in (False, False, True, True, True):
        switch_weights([loss], active)
        fast(torch.randn(16, 3), targets(soft=False))
        loss.rebin()
    assert len(graphs) == 2


@pytest.mark.parametrize('soft', [False, True])
def test_deterministic_algorithms(soft):
    torch.use_deterministic_algorithms(True)
    try:
        results = []
        for _ in range(2):
            torch.manual_seed(0)
            loss = GHMCWAPLoss(3, **KWARGS)
            logits = torch.randn(16, 3, requires_grad=True)
            loss(logits, targets(soft)).backward()
            loss.rebin()
            results.append((logits.grad, loss.edges))
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(*results):
        assert torch.equal(one, other)


def test_the_loss_does_not_disturb_export():
    cfg = Config.fromfile(str(CONFIGS / 'ghm_cwap/resnet8_digits_lt.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model).eval()
    images = torch.randn(2, 1, 8, 8)
    exported = torch.export.export(model, (images,))
    torch.testing.assert_close(exported.module()(images), model(images))
