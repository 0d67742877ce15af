"""What the paper states, and where every other number of a config comes from."""

import inspect
from typing import Any, Callable, NamedTuple, Tuple

from mmengine.registry import DefaultScope
from mmpretrain.registry import HOOKS, MODELS

from mmghm.engine.configs import compose

from .render import markdown

# The paper's Tables 1 to 3, a config each.
COLUMNS = (
    ('CIFAR-10, CIFAR-100', 'resnet32_cifar10_lt'),
    ('TinyImageNet', 'resnet32_tinyimagenet_lt'),
    ('ImageNet', 'resnet50_imagenet_lt'),
    ('iNaturalist 2017', 'resnet50_inat2017'),
)
NOT_STATED = 'not stated'


def _optimizer(key: str) -> Callable[[Any], str]:
    return lambda cfg: f'{cfg.optim_wrapper.optimizer[key]:g}'


def _batch(cfg: Any) -> str:
    return f'{cfg.auto_scale_lr.base_batch_size}'


def _schedule(cfg: Any) -> str:
    steps, epochs = cfg.param_scheduler, cfg.train_cfg.max_epochs
    if 'milestones' not in steps:
        return 'cosine to 0, every step'
    at = ' and '.join(f'{part * epochs:g}' for part in steps.milestones)
    return f'x {steps.gamma:g} after epochs {at}'


def _warmup(cfg: Any) -> str:
    share = cfg.param_scheduler.get('warmup', 0)
    epochs = f'{share * cfg.train_cfg.max_epochs:g} epochs'
    return f'{epochs}, a stair each' if share else 'none'


def _augmentation(cfg: Any) -> str:
    dataset = cfg.train_dataloader.dataset
    pipeline = dataset.get('pipeline') or dataset.dataset.pipeline
    words = []
    for step in pipeline:
        if step.type == 'RandomCrop':
            words.append(
                f'crop {step.crop_size} after padding by {step.padding}'
            )
        elif step.type == 'RandomResizedCrop':
            words.append(f'random resized crop {step.scale}')
        elif step.type == 'RandomFlip':
            words.append('mirrored half of the time')
        elif step.type == 'ColorJitter':
            words.append(f'colour jitter {step.brightness}')
    return ', '.join(words)


def _pixels(cfg: Any) -> str:
    mean, std = cfg.data_preprocessor.mean, cfg.data_preprocessor.std
    return (
        f'{" ".join(f"{value:g}" for value in mean)}; '
        f'{" ".join(f"{value:g}" for value in std)}'
    )


def _network(cfg: Any) -> str:
    return f'ResNet-{cfg.model.backbone.depth}'


_CAO = 'Cao et al. 2019'
# The page explains it above the table.
_BOTH = 'Cao et al.; ours; Kang et al.'
# What, the paper, the value of a config, the source of what it does not state.
SETTINGS: Tuple[Tuple[str, str, Callable[[Any], str], str], ...] = (
    (
        'network',
        'ResNet-32; ResNet-50',
        _network,
        'which ResNet-32 is not stated: that of He et al. 2016 for CIFAR, as in '
        'Cao et al. 2019',
    ),
    (
        'class sizes',
        'exponential, after Cui et al. 2019; images removed at random',
        lambda cfg: (
            'as they are'
            if 'imbalance_factor' not in cfg.train_dataloader.dataset
            else 'as the paper'
        ),
        'which images: drawn by the seed',
    ),
    ('epochs', NOT_STATED, lambda cfg: f'{cfg.train_cfg.max_epochs}', _BOTH),
    ('batch size', NOT_STATED, _batch, _BOTH),
    ('learning rate, SGD', NOT_STATED, _optimizer('lr'), _BOTH),
    ('momentum', NOT_STATED, _optimizer('momentum'), _BOTH),
    ('weight decay', NOT_STATED, _optimizer('weight_decay'), _BOTH),
    ('warm-up', NOT_STATED, _warmup, _BOTH),
    ('decay of the learning rate', NOT_STATED, _schedule, _BOTH),
    ('augmentation', NOT_STATED, _augmentation, _BOTH),
    (
        'start of the classifier',
        NOT_STATED,
        lambda cfg: (
            'rows of norm 1.4' if 'init_cfg' in cfg.model.head else 'N(0, 0.01)'
        ),
        "Cao et al.'s code; MMPretrain's default",
    ),
    (
        'figure that counts',
        NOT_STATED,
        lambda cfg: 'last epoch',
        'ours; the number of runs is not stated either',
    ),
    (
        "pixels' mean; deviation",
        NOT_STATED,
        _pixels,
        'CIFAR: Cao et al., those of CIFAR-10; TinyImageNet: in common use, no '
        "publication known; ImageNet: torchvision's models; iNaturalist: Kang et "
        "al.'s for 2018, in both years: their recipe, photographs of the same site",
    ),
)


class Number(NamedTuple):
    """A number of a loss.

    Attributes:
        method (str): Name of the config.
        key (str): Argument of its loss, or of its first hook.
        paper (str): What the paper states.
        source (str): Where it comes from otherwise.
    """

    method: str
    key: str
    paper: str
    source: str


_OTHERS = '"the hyper-parameters provided by the authors"'
NUMBERS = (
    Number('ghm_cwap', 'alpha', '0.9, by cross-validation', ''),
    Number('ghm_cwap', 'gamma', '0.8', ''),
    Number('ghm_cwap', 'num_regions', '30', ''),
    Number(
        'ghm_cwap',
        'normalize',
        'none: W = S / v^alpha',
        'ours, [why](method.md)',
    ),
    Number(
        'ghm_cwap', 'begin', 'from the first epoch', 'ours, [why](method.md)'
    ),
    Number('focal', 'gamma', _OTHERS, f'{_CAO}: the softmax form with gamma 1'),
    Number('ghm_c', 'bins', _OTHERS, 'Li et al. 2019'),
    Number('ghm_c', 'normalize', _OTHERS, 'Li et al. 2019, as for detection'),
    Number('effective_number', 'beta', _OTHERS, 'Cui et al. 2019'),
    Number('equalization', 'gamma', _OTHERS, 'Tan et al. 2020'),
    Number(
        'equalization',
        'tail_ratio',
        _OTHERS,
        'ours: Tan et al. name the tail by a frequency for each dataset',
    ),
    Number('seesaw', 'p', _OTHERS, 'Wang et al. 2021'),
    Number('seesaw', 'q', _OTHERS, 'Wang et al. 2021'),
    Number('ldam', 'max_margin', 'not in the paper', _CAO),
    Number('ldam', 'scale', 'not in the paper', _CAO),
    Number(
        'ldam_drw', 'begin', 'not in the paper', f'{_CAO}: epoch 160 of 200'
    ),
    Number('balanced_softmax', 'tau', 'not in the paper', 'Ren et al. 2020'),
    Number('ghm_cwap_balanced', 'margin', 'not in the paper', 'ours'),
    Number('ghm_cwap_balanced', 'gamma', 'not in the paper', 'ours'),
)


def argument(method: str, key: str) -> Any:
    """Read an argument of a loss, or of its first hook, given or by default.

    Args:
        method (str): Name of the config.
        key (str): The argument.

    Returns:
        Any: Its value.
    """
    cfg = compose(method, 'resnet32_cifar10_lt', 100)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        parts = [(MODELS, cfg.model.head.loss)]
        parts += [(HOOKS, hook) for hook in cfg.custom_hooks]
        for registry, part in parts:
            if key in part:
                return part[key]
            known = inspect.signature(registry.get(part.type)).parameters
            if key in known:
                return known[key].default
    raise KeyError(f'{method} has no argument {key}')


def settings_table() -> str:
    """Write the settings of the paper's experiments, with their sources.

    Returns:
        str: Markdown.
    """
    configs = [compose('softmax', task) for _, task in COLUMNS]
    header = ['what', 'the paper', *(name for name, _ in COLUMNS), 'source']
    body = [
        [what, paper, *(value(cfg) for cfg in configs), source]
        for what, paper, value, source in SETTINGS
    ]
    return markdown(header, body)


def numbers_table() -> str:
    """Write the numbers of the losses, with their sources.

    Returns:
        str: Markdown.
    """
    body = [
        [
            f'`{one.method}`',
            f'`{one.key}`',
            str(argument(one.method, one.key)),
            one.paper,
            one.source or 'the paper',
        ]
        for one in NUMBERS
    ]
    return markdown(['config', 'argument', 'here', 'the paper', 'source'], body)
