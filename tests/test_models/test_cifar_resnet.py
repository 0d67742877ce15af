import pytest
import torch

from mmghm.models import CIFARResNet


@pytest.mark.parametrize('depth', [8, 20, 32, 44, 56, 110])
def test_depth_is_the_number_of_weighted_layers(depth):
    model = CIFARResNet(depth)
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convs) + 1 == depth  # and the classifier


def test_resnet32_has_the_published_size():
    size = sum(p.numel() for p in CIFARResNet(32).parameters()) + 64 * 10 + 10
    assert size == 464154


@pytest.mark.parametrize('channels_last', [True, False])
def test_output(channels_last):
    torch.manual_seed(0)
    model = CIFARResNet(8, in_channels=1, channels_last=channels_last)
    model.init_weights()
    (out,) = model(torch.randn(2, 1, 32, 32))
    assert out.shape == (2, 64, 8, 8)
    out.mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_memory_order_changes_nothing():
    model = CIFARResNet(8).eval()
    image = torch.randn(2, 3, 32, 32)
    (fast,) = model(image)
    model.channels_last = False
    torch.testing.assert_close(model(image)[0], fast, rtol=1e-4, atol=1e-5)


def test_shortcut_has_no_parameters():
    block = CIFARResNet(8).layer2[0]
    for conv in (block.conv1, block.conv2):
        torch.nn.init.zeros_(conv.weight)
    x = torch.rand(1, 16, 4, 4)
    out = block.eval()(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()


@pytest.mark.parametrize('depth', [2, 18, 34])
def test_refuses_other_depths(depth):
    with pytest.raises(ValueError, match=f'got {depth}'):
        CIFARResNet(depth)
