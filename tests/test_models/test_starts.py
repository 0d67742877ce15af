"""How classifiers start, as in the sources of their recipes."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmghm.engine.configs import compose


def built_head(method, task):
    cfg = compose(method, task)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    torch.manual_seed(0)
    model.init_weights()
    return model.head


@pytest.mark.parametrize('task', ['resnet32_cifar10_lt', 'resnet8_cifar10_lt'])
def test_linear_head_of_the_cifar_recipe(task):
    fc = built_head('softmax', task).fc
    # Kaiming: N(0, 2 / 64), rows of norm sqrt(2).
    assert fc.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert fc.weight.norm(dim=1).mean().item() == pytest.approx(1.40, abs=0.1)
    assert (fc.bias == 0).all()


@pytest.mark.parametrize('task', ['resnet32_cifar10_lt', 'resnet8_digits_lt'])
def test_normed_head_has_unit_rows(task):
    norms = built_head('ldam_drw', task).weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(10))


@pytest.mark.parametrize('loss', ['CrossEntropyLoss', 'LDAMLoss'])
def test_losses_get_scaled_cosines_once(loss):
    settings = dict(type=loss)
    if loss == 'LDAMLoss':
        settings.update(num_classes=3, class_counts=[90, 9, 1], scale=20.0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MODELS.build(
            dict(
                type='NormedLinearClsHead',
                num_classes=3,
                in_channels=4,
                scale=25.0,
                loss=settings,
            )
        )
    features, label = (torch.randn(1, 4),), torch.tensor([2])
    cosines = head(features)
    if loss == 'LDAMLoss':
        # The smallest class has the largest margin, 0.5.
        scaled = 20 * (cosines - torch.tensor([0, 0, 0.5]))
    else:
        scaled = 25 * cosines
    found = head.loss(features, [DataSample().set_gt_label(label)])['loss']
    torch.testing.assert_close(found, F.cross_entropy(scaled, label))
