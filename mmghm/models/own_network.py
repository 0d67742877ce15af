"""A network by its name, ready for a classifier of one's own classes."""

import inspect
from typing import Any, Dict, NamedTuple

from mmengine.registry import DefaultScope
from mmpretrain.apis.model import ModelHub
from mmpretrain.registry import MODELS

from mmghm.utils.errors import UserError

from .backbones.packaged_weights import LITE0
from .backbones.timm_features import create_timm


class OwnNetwork(NamedTuple):
    """Parts of a config.

    The model's head is a linear classifier without its number of classes and
    its loss; ``pixels`` are ``mean``, ``std`` and ``to_rgb`` of the data
    preprocessor.
    """

    model: dict
    pixels: Dict[str, Any]
    image_size: int


def find_network(
    name: str, image_size: str, pretrained: str, freeze: str
) -> OwnNetwork:
    """Look a network up, for images of a size.

    Args:
        name (str): A config of mmpretrain, such as ``'resnet50_8xb32_in1k'``,
            or ``'timm/NAME'``.
        image_size (str): Height and width of the images, in pixels.
        pretrained (str): Weights to begin with: ``'default'`` are those that
            belong to the name, ``'none'`` are random ones; else a file or an
            address with weights of the backbone.
        freeze (str): ``'yes'`` trains nothing but the classifier, ``'no'``
            all.

    Returns:
        OwnNetwork: Parts of a config.

    Raises:
        UserError: If there is no such network, it cannot be frozen, or a
            setting is none of these.
    """
    if not image_size.isdigit() or int(image_size) < 1:
        raise UserError(f'IMAGE_SIZE is a number of pixels, got {image_size!r}')
    if freeze not in ('yes', 'no'):
        raise UserError(f'FREEZE is yes or no, got {freeze!r}')
    find = _mmpretrain
    if name.startswith('timm/'):
        find, name = _timm, name.removeprefix('timm/')
    parts = find(name, int(image_size), pretrained, freeze == 'yes')
    if pretrained not in ('default', 'none'):
        parts.backbone['init_cfg'] = dict(
            type='Pretrained', checkpoint=pretrained
        )
    head = dict(type='LinearClsHead', in_channels=parts.width)
    return OwnNetwork(
        dict(
            type='ImageClassifier',
            backbone=parts.backbone,
            neck=parts.neck,
            head=head,
        ),
        parts.pixels,
        int(image_size),
    )


class _Parts(NamedTuple):
    backbone: Dict[str, Any]
    neck: Any
    width: int
    pixels: Dict[str, Any]


def _mmpretrain(
    name: str, image_size: int, pretrained: str, freeze: bool
) -> _Parts:
    try:
        found = ModelHub.get(name)
    except ValueError as error:
        raise UserError(
            f'BACKBONE={name} is neither timm/NAME nor a config of mmpretrain '
            f'({error}); see mmpretrain.list_models()'
        ) from error
    plain = found.config.to_dict()
    model = plain['model']
    backbone = model['backbone']
    width = (model.get('head') or {}).get('in_channels')
    if width is None:
        raise UserError(
            f'BACKBONE={name} has no head with in_channels; take a classifier '
            'of mmpretrain'
        )
    if 'img_size' in backbone:
        backbone['img_size'] = image_size
    backbone.pop('init_cfg', None)
    if freeze:
        backbone.update(_frozen(name, backbone))
    if pretrained == 'default' and found.weights:
        backbone['init_cfg'] = dict(
            type='Pretrained', checkpoint=found.weights, prefix='backbone'
        )
    given = plain.get('data_preprocessor') or {}
    pixels = {k: given[k] for k in ('mean', 'std', 'to_rgb') if k in given}
    return _Parts(backbone, model.get('neck'), width, pixels)


def _timm(name: str, image_size: int, pretrained: str, freeze: bool) -> _Parts:
    network = create_timm(name, image_size)
    backbone = dict(
        type='TimmFeatures',
        model_name=name,
        image_size=image_size,
        pretrained=pretrained == 'default',
        frozen=freeze,
    )
    if name == LITE0:
        # As in TensorFlow, where its weights come from; timm rounds.
        pixels = dict(mean=[127.0] * 3, std=[128.0] * 3)
    else:
        pixels = {
            key: [255 * value for value in network.pretrained_cfg[key]]
            for key in ('mean', 'std')
        }
    # Some networks have a layer between their last features and what they give.
    width = getattr(network, 'head_hidden_size', None) or network.num_features
    return _Parts(backbone, None, width, dict(pixels, to_rgb=True))


def _frozen(name: str, plain: dict) -> Dict[str, Any]:
    """Settings with which nothing of a backbone is trained."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(plain)
        taken = inspect.signature(type(built).__init__).parameters
        stages = getattr(built, 'num_layers', getattr(built, 'num_stages', 0))
        settings: Dict[str, Any] = dict(frozen_stages=stages)
        if 'norm_eval' in taken:
            settings['norm_eval'] = True
        if 'frozen_stages' in taken and stages:
            built = MODELS.build({**plain, **settings})
            built.train()
    if any(p.requires_grad for p in built.parameters()):
        raise UserError(
            f'FREEZE: mmpretrain cannot freeze all of {name}; take one of its '
            'ResNets or ViTs, or timm/NAME'
        )
    return settings
