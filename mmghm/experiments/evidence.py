"""Regimes and settings of the study in docs/evidence.md.

A regime is a train set, a model and a number of epochs; a setting is a loss
with its options. ``tools/reproduce.py evidence`` runs any pair of them.
"""

import re
from dataclasses import dataclass, field, replace
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
        margin (Optional[str]): The setting with the same margin and no W.
        starts_from (Optional[str]): A setting that trains identically until
            then, so that a run may go on from its checkpoint.
    """

    method: str
    loss: Dict[str, Any] = field(default_factory=dict)
    begin: Optional[float] = None
    margin: Optional[str] = None
    starts_from: Optional[str] = None


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
        note='cosine, weight decay 5e-4, Mixup 0.2, EMA',
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
    # The paper's scale: 200 epochs; on a CPU core about two hours at 100.
    'paper_if100': Regime('resnet32_cifar10_lt_decoded', 5000, 100, 0),
    'paper_if500': Regime('resnet32_cifar10_lt_decoded', 5000, 500, 0),
    'paper_if10': Regime('resnet32_cifar10_lt_decoded', 5000, 10, 0),
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
    cfg.merge_from_dict(regime.options)
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


# Strengths of the balanced margin; Balanced Softmax at 1.0.
_STRENGTHS = (0.75, 1.0, 1.25, 1.5)


def _margin(gamma: float) -> Setting:
    return Setting('ghm_cwap_margin', dict(margin='balanced', gamma=gamma))


def _with_weights(
    gamma: float = 1.0, begin: float = 0.8, **loss: Any
) -> Setting:
    """GHM-CWAP, going on from its margin alone where W begins to act."""
    loss = {**_margin(gamma).loss, **loss}
    margin = f'margin_two_sided{gamma}'
    return Setting('ghm_cwap', loss, begin, margin, margin)


def _with_paper_weights(**loss: Any) -> Setting:
    """W beside eq. (2)'s margin, going on from the row "R" of Table 3."""
    margin = 'ghm_cwap_margin'
    return Setting('ghm_cwap_one_sided', loss, 0.8, margin, margin)


_Options = Dict[str, Dict[str, Any]]
_LATE: _Options = {
    'none': dict(normalize='none'),
    'regions': dict(normalize='regions'),
    'mean': dict(normalize='mean'),
    'previous': dict(histogram='previous'),
    **{f'alpha{a}': dict(alpha=a) for a in (0.1, 0.3, 0.5, 0.7)},
}
# Mild enough, perhaps, to act from the first epoch.
_MILD: _Options = {
    'mean': dict(normalize='mean'),
    'alpha0.1': dict(alpha=0.1),
    'alpha0.3': dict(alpha=0.3),
    'alpha0.5': dict(alpha=0.5),
}
# These change what is counted, and so have no prefix to share.
_COUNTED: _Options = {
    'ura': dict(adaptive=False),
    'n10': dict(num_regions=10),
    'n60': dict(num_regions=60),
}


def _settings() -> Dict[str, Setting]:
    settings = {
        name: Setting(name)
        for name in (
            'softmax',
            'seesaw',
            'balanced_softmax',
            'ghm_cwap',
            'ghm_cwap_margin',
            'ghm_cwap_printed',
            'class_balanced',
            'focal',
            'ghm_c',
            'effective_number',
            'equalization',
            'ldam',
        )
    }
    for method, start in (('effective_number', 'softmax'), ('ldam', 'ldam')):
        settings[f'{method}_drw'] = Setting(
            f'{method}_drw', begin=0.8, starts_from=start
        )
    # Table 3 at its own margin, whose S comes from the histograms.
    settings.update(
        r_w=_with_paper_weights(),
        r_w_previous=_with_paper_weights(histogram='previous'),
        r_w_ura=_with_paper_weights(adaptive=False),
        r_w_mean=_with_paper_weights(normalize='mean'),
        r_w_none=_with_paper_weights(normalize='none'),
    )
    for gamma in _STRENGTHS:
        settings[f'margin_two_sided{gamma}'] = _margin(gamma)
        settings[f'late_two_sided{gamma}'] = _with_weights(gamma)
    # One thing changed at a time.
    for begin in (0.0, 0.3, 0.6, 0.9):
        settings[f'begin{begin}_two_sided'] = _with_weights(begin=begin)
    for name, loss in _LATE.items():
        settings[f'late_{name}_two_sided'] = _with_weights(**loss)
    for name, loss in _MILD.items():
        settings[f'begin0_{name}_two_sided'] = _with_weights(begin=0.0, **loss)
    for name, loss in _COUNTED.items():
        late = _with_weights(**loss)
        settings[f'late_{name}_two_sided'] = replace(late, starts_from=None)
    return settings


SETTINGS = _settings()
# The study of version 0.1 also tried what the package no longer offers: eq.
# (2)'s margin from class counts at several strengths (``g...``) and further
# options of W. Its results are in results/evidence; the code that made them is
# at commit 98dee67. By name, the margin alone that such a setting has to beat:
MARGIN = 'margin_g0.8'


def own_margin(setting: str) -> str:
    """Name the margin alone that a setting has to beat.

    Args:
        setting (str): A setting, of today or of the study of version 0.1.

    Returns:
        str: The setting with the same margin and no W.
    """
    known = SETTINGS.get(setting)
    if known is not None and known.margin:
        return known.margin
    strength = re.fullmatch(r'late_((?:g|two_sided)[0-9.]+)', setting)
    if strength:
        return f'margin_{strength[1]}'
    balanced = setting.endswith('_two_sided')
    return 'margin_two_sided1.0' if balanced else MARGIN


# Compared on the test images.
FINALISTS = (
    'softmax',
    'seesaw',
    'balanced_softmax',
    'ldam_drw',
    'ghm_cwap_margin',
    'r_w',
    'margin_two_sided1.0',
    'late_two_sided1.0',
)
# The default of the package, and what it is held against.
DEFAULT = 'late_two_sided1.0'
# Settings that are methods of the package under another name.
METHOD_OF = {
    DEFAULT: 'ghm_cwap',
    'margin_two_sided1.0': 'balanced_softmax',
    'r_w': 'ghm_cwap_one_sided',
}
# What a reader calls the settings of the runs at the paper's scale.
NAMES = {
    'softmax': 'softmax cross-entropy',
    'focal': 'focal loss',
    'class_balanced': 'class weights 1 / n',
    'effective_number': 'effective number',
    'effective_number_drw': 'effective number, deferred',
    'equalization': 'equalization loss',
    'ghm_c': 'GHM-C',
    'seesaw': 'Seesaw',
    'ldam': 'LDAM',
    'ldam_drw': 'LDAM-DRW',
    'ghm_cwap_printed': 'GHM-CWAP as printed, from the first epoch',
    'ghm_cwap_margin': "the paper's margin alone, eq. (2)",
    'r_w': 'eq. (2) with late W',
    'r_w_previous': "eq. (2) with late W by the finished epoch's histogram",
    'r_w_ura': 'eq. (2) with late W from equal regions',
    'r_w_mean': "eq. (2) with late W, normalize='mean'",
    'r_w_none': "eq. (2) with late W as printed, normalize='none'",
    'margin_two_sided1.0': 'Balanced Softmax',
    DEFAULT: '`GHMCWAPLoss`, the default',
    'late_previous_two_sided': "the default by the finished epoch's histogram",
}
RIVALS = ('margin_two_sided1.0', 'seesaw', 'softmax', 'ldam_drw')
