"""Regimes and settings of the study in docs/results.md.

A regime is a train set, a model and a number of epochs; a setting is a loss
with its options. ``study/reproduce.py evidence`` runs any pair of them.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config, ConfigDict


@dataclass(frozen=True)
class Regime:
    """What a setting is tried on.

    Attributes:
        task (str): Name of backbone, dataset and schedule.
        head (int): Images of the largest class.
        imbalance_factor (int): Largest over smallest class.
        held_out (int): Images of each class held out under validation.
        epochs (Optional[int]): In place of the task's.
        ascending (bool): Whether the *last* class is the largest.
        amp (bool): Whether to train in bfloat16.
        options (Dict[str, Any]): Further options of the config.
        hooks (Tuple[Dict[str, Any], ...]): Further hooks.
        note (str): What the options and hooks amount to.
        label_noise (float): Share of each class's train images that get a wrong
            label, any other class with the same probability; held-out and
            test images keep theirs.
    """

    task: str
    head: int
    imbalance_factor: int
    held_out: int
    epochs: Optional[int] = None
    ascending: bool = False
    amp: bool = True
    options: Dict[str, Any] = field(default_factory=dict)
    hooks: Tuple[Dict[str, Any], ...] = ()
    note: str = ''
    label_noise: float = 0.0

    def class_counts(self, num_classes: int) -> List[int]:
        """Sizes of the classes, falling exponentially.

        Args:
            num_classes (int): C, the number of classes.

        Returns:
            List[int]: C sizes.
        """
        steps = [c / (num_classes - 1) for c in range(num_classes)]
        counts = [int(self.head * self.imbalance_factor**-s) for s in steps]
        return counts[::-1] if self.ascending else counts


@dataclass(frozen=True)
class Setting:
    """A loss with options.

    Attributes:
        method (str): Name of the loss.
        loss (Dict[str, Any]): Options of the loss.
        begin (Optional[float]): Share of the epochs after which W, or class
            weights, act.
        starts_from (Optional[str]): A setting that trains identically until
            then, so that a run may go on from its checkpoint.
        options (Dict[str, Any]): Further options of the config.
    """

    method: str
    loss: Dict[str, Any] = field(default_factory=dict)
    begin: Optional[float] = None
    starts_from: Optional[str] = None
    options: Dict[str, Any] = field(default_factory=dict)


_CIFAR = 'resnet8_cifar10_lt'
_DIGITS = 'resnet8_digits_lt'
# Recipes in place of the plain one (steps by 0.01, weight decay 2e-4).
_COSINE = {
    'optim_wrapper.optimizer.weight_decay': 5e-4,
    'param_scheduler': dict(
        type='WarmupCosineLR',
        warmup=5 / 60,
        warmup_stairs=5,
        by_epoch=False,
    ),
}
_STRONG = {
    **_COSINE,
    'model.train_cfg': dict(augments=dict(type='Mixup', alpha=0.2)),
}
# About 5 epochs of 20 steps.
_EMA = dict(type='EMAHook', momentum=0.01)
REGIMES = {
    # The short regime of the first prototype.
    'base': Regime(_CIFAR, 1000, 100, 400, epochs=60),
    'if10': Regime(_CIFAR, 500, 10, 400, epochs=60),
    'if500': Regime(_CIFAR, 1000, 500, 400, epochs=60),
    # Another head size and the classes in the opposite order.
    'ascending': Regime(_CIFAR, 500, 100, 400, epochs=60, ascending=True),
    'head2000': Regime(_CIFAR, 2000, 100, 400, epochs=30),
    'wide': Regime(
        _CIFAR,
        500,
        50,
        400,
        epochs=60,
        options={
            'model.backbone.base_channels': 24,
            'model.head.in_channels': 96,
        },
        note='24, 48 and 96 channels in place of 16, 32 and 64',
    ),
    'long': Regime(_CIFAR, 500, 100, 400, epochs=120),
    'cosine': Regime(
        _CIFAR,
        1000,
        100,
        400,
        epochs=60,
        options=_COSINE,
        note='cosine, weight decay 5e-4',
    ),
    'strong': Regime(
        _CIFAR,
        1000,
        100,
        400,
        epochs=60,
        options=_STRONG,
        hooks=(_EMA,),
        note='cosine, weight decay 5e-4, Mixup 0.2, averaged weights',
    ),
    # As 'base', augmented by whole batches: docs/performance.md.
    'base_decoded': Regime(f'{_CIFAR}_decoded', 1000, 100, 400, epochs=60),
    'digits': Regime(_DIGITS, 100, 20, 40, amp=False),
    'digits_if50': Regime(
        _DIGITS, 100, 50, 40, epochs=60, ascending=True, amp=False
    ),
    # A tail class receives more wrong images than it has right ones.
    'noise20': Regime(
        f'{_CIFAR}_decoded', 2000, 100, 400, epochs=60, label_noise=0.2
    ),
    'noise40': Regime(
        f'{_CIFAR}_decoded', 2000, 100, 400, epochs=60, label_noise=0.4
    ),
    # The paper's network and data by Cao et al.'s schedule of 200 epochs: about
    # two hours on a CPU core at imbalance factor 100.
    'cifar10_if100': Regime('resnet32_cifar10_lt_decoded', 5000, 100, 0),
    'cifar10_if500': Regime('resnet32_cifar10_lt_decoded', 5000, 500, 0),
    'cifar10_if10': Regime('resnet32_cifar10_lt_decoded', 5000, 10, 0),
    # What keeps the printed method from diverging, on held-out images; float32:
    # without AVX-512 a CPU takes ten times as long in bfloat16.
    'controls': Regime(
        f'{_CIFAR}_decoded', 1000, 100, 400, epochs=60, amp=False
    ),
    # The paper's network, the first ten of the 200 epochs.
    'controls_resnet32': Regime(
        'resnet32_cifar10_lt_decoded',
        5000,
        100,
        0,
        epochs=10,
        amp=False,
        options={
            'param_scheduler.warmup': 0.5,
            'param_scheduler.milestones': [],
        },
        note='the first ten epochs of 200, with all of their warm-up',
    ),
    # What images cost that a user holds out to calibrate on.
    'held_out_tenth': Regime(
        f'{_CIFAR}_decoded', 1000, 100, 0, epochs=60, amp=False
    ),
    'cifar100_if100': Regime(
        'resnet32_cifar100_lt_decoded', 500, 100, 0, amp=False
    ),
    # The same data in the small network.
    'cifar100_resnet8': Regime(
        'resnet32_cifar100_lt_decoded',
        500,
        100,
        0,
        epochs=20,
        amp=False,
        options={'model.backbone.depth': 8},
        note='ResNet-8 in place of ResNet-32',
    ),
}


def apply(
    cfg: Config, regime: Regime, setting: Setting, seed: int, validation: bool
) -> None:
    """Turn a composed config into that of a regime and a setting.

    Args:
        cfg (Config): The config, changed in place.
        regime (Regime): Train set, model, epochs.
        setting (Setting): Options of the loss.
        seed (int): Which images make up the long-tailed set.
        validation (bool): Whether to evaluate on train images held out of
            the set, in place of the test images.
    """
    dataset = cfg.train_dataloader.dataset
    dataset.class_counts = regime.class_counts(cfg.num_classes)
    dataset.seed = seed
    if regime.label_noise:
        dataset.label_noise = dict(rate=regime.label_noise, seed=seed)
    if validation:
        pool = dataset.dataset
        part = ConfigDict(
            type='LongTailDataset', profile='none', holdout=regime.held_out
        )
        dataset.dataset = ConfigDict(part, dataset=pool)
        held = ConfigDict(pool)
        if 'pipeline' in held:
            held.pipeline = cfg.val_dataloader.dataset.pipeline
        cfg.val_dataloader.dataset = ConfigDict(
            part, part='holdout', dataset=held
        )
    # Small sets: workers would take longer to start than to load.
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = 0
        loader.pop('worker_init_fn', None)
    cfg.merge_from_dict({**regime.options, **setting.options})
    cfg.custom_hooks += [ConfigDict(hook) for hook in regime.hooks]
    cfg.model.head.loss.update(setting.loss)
    if setting.begin is not None:
        (hook,) = (h for h in cfg.custom_hooks if h.type in _BEGINNING)
        hook.begin = setting.begin
    # A kill costs an epoch; others go on from the ones that are kept.
    cfg.default_hooks.checkpoint.update(
        interval=1,
        max_keep_ckpts=2,
        keep_every=max(cfg.train_cfg.max_epochs // 10, 1),
    )


_BEGINNING = ('AURARebinHook', 'DeferredReweightingHook')

_MARGIN = 'ghm_cwap_margin'
_BALANCED = 'balanced_margin'
SETTINGS = {
    **{
        name: Setting(name)
        for name in (
            *('softmax', 'class_balanced', 'focal', 'ghm_c', 'equalization'),
            *('effective_number', 'seesaw', 'balanced_softmax', 'ldam'),
        )
    },
    'effective_number_drw': Setting(
        'effective_number_drw', begin=0.8, starts_from='softmax'
    ),
    'ldam_drw': Setting('ldam_drw', begin=0.8, starts_from='ldam'),
    # The paper's margin, and from 80 % of the epochs on its whole method.
    _MARGIN: Setting(_MARGIN),
    'ghm_cwap': Setting('ghm_cwap', begin=0.8, starts_from=_MARGIN),
    # Balanced Softmax, which also counts histograms, and our variant.
    _BALANCED: Setting(_MARGIN, dict(margin='balanced', gamma=1.0)),
    'ghm_cwap_balanced': Setting(
        'ghm_cwap_balanced', begin=0.8, starts_from=_BALANCED
    ),
    # S depends on the regions, so that it repeats no other run.
    'ghm_cwap_ura': Setting('ghm_cwap_ura', begin=0.8),
    # A tenth of each class held out of training.
    **{
        f'{name}_nine_tenths': Setting(
            method, loss, options={'train_dataloader.dataset.holdout': 0.1}
        )
        for name, method, loss in (
            ('softmax', 'softmax', {}),
            (_BALANCED, _MARGIN, dict(margin='balanced', gamma=1.0)),
        )
    },
    # Nothing changed, and what might keep it from diverging.
    'ghm_cwap_printed': Setting('ghm_cwap_printed', begin=0.0),
    'ghm_cwap_printed_lr0.01': Setting(
        'ghm_cwap_printed',
        begin=0.0,
        options={'optim_wrapper.optimizer.lr': 0.01},
    ),
    'ghm_cwap_printed_clipped': Setting(
        'ghm_cwap_printed',
        begin=0.0,
        options={'optim_wrapper.clip_grad': dict(max_norm=1.0)},
    ),
    **{
        f'ghm_cwap_first_epoch_{scale}': Setting(
            'ghm_cwap', dict(normalize=scale), begin=0.0
        )
        for scale in ('regions', 'mean')
    },
}
# What a reader calls them.
NAMES = {
    'softmax': 'softmax cross-entropy',
    'focal': 'focal loss',
    'class_balanced': 'class weights 1 / n',
    'effective_number': 'effective number',
    'effective_number_drw': 'effective number, deferred',
    'equalization': 'equalization loss',
    'ghm_c': 'GHM-C',
    'seesaw': 'Seesaw',
    'balanced_softmax': 'Balanced Softmax',
    'ldam': 'LDAM',
    'class_balanced_focal': 'class-balanced focal loss',
    'label_smoothing': 'label smoothing',
    'ghm_c_samples': 'GHM-C, divided by the number of images',
    'ldam_drw': 'LDAM-DRW',
    _MARGIN: "the paper's margin alone, eq. (2)",
    'ghm_cwap': "`ghm_cwap`, the paper's method",
    _BALANCED: 'Balanced Softmax',
    'ghm_cwap_balanced': '`ghm_cwap_balanced`, our variant',
    'ghm_cwap_ura': "`ghm_cwap_ura`, the paper's method with equal regions",
    'softmax_nine_tenths': 'softmax cross-entropy without a tenth',
    f'{_BALANCED}_nine_tenths': 'Balanced Softmax without a tenth',
    'ghm_cwap_printed': '`ghm_cwap_printed`, nothing changed',
    'ghm_cwap_printed_lr0.01': '`ghm_cwap_printed` at learning rate 0.01',
    'ghm_cwap_printed_clipped': (
        '`ghm_cwap_printed`, gradients clipped to norm 1'
    ),
    'ghm_cwap_first_epoch_regions': (
        "`ghm_cwap` from the first epoch, normalize='regions'"
    ),
    'ghm_cwap_first_epoch_mean': (
        "`ghm_cwap` from the first epoch, normalize='mean'"
    ),
}
# Settings that are methods of the package under another name.
METHOD_OF = {_BALANCED: 'balanced_softmax'}

# Versions 0.1 and 0.2 called some settings by other names, and had some that
# the package no longer offers: W by the running epoch's histogram, eq. (2)'s
# margin from class counts (``g...``) and more. Their results are kept. The code
# that made them is at the commits 98dee67 (0.1) and 701495e (0.2).
_RENAMED_IN = 3
# Names of then: the setting of today that computes the same, or the name under
# which an older one is described by `in_words`.
_RENAMED = {
    'r_w_previous': 'ghm_cwap',
    'margin_two_sided1.0': _BALANCED,
    'late_previous_two_sided': 'ghm_cwap_balanced',
    'ghm_cwap': 'late_two_sided1.0',
    'ghm_cwap_one_sided': 'r_w',
}
_RENAMED_REGIMES = {
    'paper_if100': 'cifar10_if100',
    'paper_if500': 'cifar10_if500',
    'paper_if10': 'cifar10_if10',
}
# The default of 0.1 and 0.2, and the paper's margin of 0.1 without and with W.
OLD_DEFAULT = 'late_two_sided1.0'
OLD_MARGIN = 'margin_g0.8'
OLD_WEIGHTS = ('r_w', 'late_g0.8')
_OLD_HISTOGRAMS = {
    'previous': "the finished epoch's histogram",
    'fading': 'a histogram that fades into the running one',
}
_OLD_OPTIONS = {
    **{scale: f"normalize='{scale}'" for scale in ('none', 'regions', 'mean')},
    'ura': 'equal regions',
    'n10': '10 regions',
    'n60': '60 regions',
    'max2': 'W at most 2',
    'raw': 'g from the raw logits',
    'momentum': 'momentum 0.9',
    'histogram_margin': 'S from the histograms',
}


def name_of(cell: Dict[str, Any], version: int) -> str:
    """Name the setting, or the method, of a result.

    Args:
        cell (Dict[str, Any]): The result's fields of a :class:`~.plan.Experiment`.
        version (int): The result version that it was made with.

    Returns:
        str: One of :data:`SETTINGS` or a method, if that computes the same
        today; otherwise a name of version 0.1 or 0.2, see :func:`in_words`.
    """
    name = cell.get('setting') or cell['method']
    return _RENAMED.get(name, name) if version < _RENAMED_IN else name


def regime_of(cell: Dict[str, Any]) -> Optional[str]:
    """Name the regime of a result as it is called today.

    Args:
        cell (Dict[str, Any]): The result's fields of a :class:`~.plan.Experiment`.

    Returns:
        Optional[str]: One of :data:`REGIMES`; None for none.
    """
    regime = cell.get('regime')
    return _RENAMED_REGIMES.get(regime, regime) if regime else None


def in_words(name: str) -> str:
    """Say what a setting is.

    Args:
        name (str): A setting of today or of versions 0.1 and 0.2.

    Returns:
        str: Words for a table; any other name as it is.
    """
    if name in NAMES:
        return NAMES[name]
    old = re.fullmatch(
        r'(?P<kind>margin|late|r_w|begin(?P<begin>[0-9.]+))'
        r'(?:_(?P<strength>(?:g|two_sided)[0-9.]+))?'
        r'(?:_(?P<option>(?!two_sided)\w[\w.]*?))?(?P<balanced>_two_sided)?',
        name,
    )
    if not old:
        return name
    balanced = 'two_sided1.0' if old['balanced'] else 'g0.8'
    words = _old_margin(old['strength'] or balanced)
    if old['kind'] == 'margin':
        return words
    if old['kind'] == 'r_w':
        words = "eq. (2)'s margin"
    begin = float(old['begin'] or 0.8)
    words += f', W from {begin:.0%}' if begin else ', W from the first epoch'
    option = old['option'] or ''
    if option in _OLD_HISTOGRAMS:
        return f'{words} by {_OLD_HISTOGRAMS[option]}'.replace('%', ' %')
    words = f'{words} by the running histogram'.replace('%', ' %')
    if option:
        option = _OLD_OPTIONS.get(option, option.replace('alpha', 'alpha '))
        words += f', {option}'
    return words


def _old_margin(strength: str) -> str:
    gamma = strength.removeprefix('two_sided').removeprefix('g')
    if strength.startswith('g'):
        words, usual = "eq. (2)'s margin from class counts", '0.8'
    else:
        words, usual = 'the margin of Balanced Softmax', '1.0'
    return words if gamma == usual else f'{words}, gamma {gamma}'
