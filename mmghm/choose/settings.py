"""What configs say, however they say it, and the trials made of them."""

import copy
import hashlib
import json
import os
from typing import Any, Iterator, List, Sequence

from mmengine.config import Config, ConfigDict

from mmghm.engine.configs import method_names, set_method
from mmghm.engine.launch import set_dataloader_defaults
from mmghm.engine.recipes import LINEAR_HEADS, evaluated_at_end, type_name
from mmghm.utils.environment import package_versions
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest

# Wrappers that hand out an image several times: they stay around the train
# part, so that no image is in both parts.
_REPEATING = ('RepeatDataset', 'ClassBalancedDataset')
# Of a loss, or of the head that a loss brings.
_LOSS_HOOKS = (
    *('AURARebinHook', 'DeferredReweightingHook', 'HistogramPictureHook'),
    'ClassMeanInitHook',
)


def check_methods(cfg: Config, methods: List[str]) -> None:
    """Refuse methods that there are not, or that a config cannot have.

    A UserError names the method or the setting.
    """
    for method in methods:
        if method not in method_names():
            raise UserError(
                f'no method {method}{closest(method, method_names()) or "."} There '
                f'are {", ".join(method_names())}'
            )
    head = (cfg.get('model') or {}).get('head') or {}
    if not isinstance(head, dict) or not head.get('num_classes'):
        raise UserError(
            'choose needs a model with a classification head: '
            'model.head.num_classes is missing in the config'
        )
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(name):
            raise UserError(f'choose trains, but the config has no {name}')
    if not (cfg.get('val_dataloader') or cfg.get('test_dataloader')):
        raise UserError(
            'choose takes the pipeline for held-out images from '
            'val_dataloader, which the config has not'
        )
    if type_name(head) not in LINEAR_HEADS and {'ldam', 'ldam_drw'} & set(
        methods
    ):
        raise UserError(
            f'ldam needs NormedLinearClsHead in place of a LinearClsHead; the '
            f'config has {type_name(head)}: leave ldam and ldam_drw out of '
            '--methods'
        )


def with_method(cfg: Config, method: str) -> Config:
    """Copy of a training's config with another loss, its hooks and its head."""
    cfg = copy.deepcopy(cfg)
    head = cfg.model.head
    if type_name(head) == 'NormedLinearClsHead':
        head.type = 'LinearClsHead'
        head.pop('scale', None)
    cfg.custom_hooks = [
        hook
        for hook in cfg.get('custom_hooks') or ()
        if type_name(hook) not in _LOSS_HOOKS
    ]
    set_method(cfg, method)
    return cfg


def trial_config(cfg: Config, method: str, seed: int, holdout: float) -> Config:
    """Make a trial of a training's config, without a work dir.

    The recipe stays; the loss, its hooks and its head become those of the
    method. The train set is divided, the same way for every method and seed:
    ``holdout`` is the share of every class to evaluate on. The config's own
    validation and test images are no part of it.
    """
    cfg = copy.deepcopy(cfg)
    tested = cfg.get('val_dataloader') or cfg.test_dataloader
    train = cfg.train_dataloader.dataset
    tested.dataset = held_out(train, holdout, tested.dataset)
    tested.sampler = ConfigDict(type='DefaultSampler', shuffle=False)
    tested.drop_last = False
    cfg.val_dataloader = tested
    cfg.train_dataloader.dataset = _divided(train, holdout)
    for field in ('train_dataloader', 'val_dataloader'):
        set_dataloader_defaults(cfg, field, num_workers=0)

    cfg = evaluated_at_end(with_method(cfg, method))
    cfg.launcher, cfg.resume = 'none', False
    cfg.randomness = ConfigDict(seed=seed)
    return cfg


def held_out(train: Any, holdout: float, tested: Any) -> ConfigDict:
    """Config of the held-out part of a train set, without repetitions.

    ``holdout`` is its share of every class, ``tested`` the config of a dataset
    with the test pipeline.
    """
    pipeline = next(_leaves(tested)).get('pipeline')
    train = copy.deepcopy(train)
    while type_name(train) in _REPEATING:
        train = train.dataset
    for leaf in _leaves(train):
        if pipeline is not None:
            leaf.pipeline = copy.deepcopy(pipeline)
    return ConfigDict(_divided(train, holdout), part='holdout')


def _divided(train: Any, holdout: float) -> ConfigDict:
    if type_name(train) in _REPEATING:
        return ConfigDict(train, dataset=_divided(train.dataset, holdout))
    if type_name(train) == 'LongTailDataset' and not train.get('holdout'):
        return ConfigDict(train, holdout=holdout)
    return ConfigDict(
        type='LongTailDataset', profile='none', holdout=holdout, dataset=train
    )


def _leaves(dataset: Any) -> Iterator[Any]:
    """Configs of the datasets inside all wrappers."""
    if 'dataset' in dataset:
        yield from _leaves(dataset.dataset)
    elif dataset.get('datasets'):
        for part in dataset.datasets:
            yield from _leaves(part)
    else:
        yield dataset


def fingerprint(cfg: Config, data: str = '') -> str:
    """Tell a trial from others, so that its result is not taken for theirs.

    ``data`` is what :func:`data_digest` says of its images. Gives 12 hexadecimal
    digits.
    """
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=repr)
    return hashlib.sha256(f'{text}{data}'.encode()).hexdigest()[:12]


def data_digest(parts: Sequence[Any], cfg: Config) -> str:
    """Tell images, initial weights and versions from others.

    ``parts`` are those of a train set, each with ``manifest()``; ``cfg`` names
    the files of weights that it begins with. Gives hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(package_versions()).encode())
    for part in parts:
        digest.update(part.manifest()['sha256'].encode())
        for index in range(len(part)):
            path = part.get_data_info(index).get('img_path')
            # Images in archives and behind addresses have their hash or name.
            if path and os.path.exists(path):
                digest.update(os.path.getsize(path).to_bytes(8, 'little'))
    for text in _texts([cfg.get('load_from'), cfg.model]):
        if os.path.isfile(text):
            found = os.stat(text)
            digest.update(f'{found.st_size} {found.st_mtime_ns}'.encode())
    return digest.hexdigest()


def _texts(part: Any) -> Iterator[str]:
    """All texts of a part of a config."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from _texts(list(part.values()))
    elif isinstance(part, (list, tuple)):
        for one in part:
            yield from _texts(one)
