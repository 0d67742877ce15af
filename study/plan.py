"""Experiments of the paper's tables and of the study."""

from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

from mmengine.config import Config

from mmghm.engine.configs import compose, task_names
from mmghm.engine.hooks.loss_hook import begin_epoch

from .evidence import REGIMES, SETTINGS, apply

PAPER_METHODS = (
    'softmax',
    'class_balanced',
    'focal',
    'ghm_c',
    'effective_number',
    'equalization',
    'seesaw',
    'ghm_cwap',
)
# What users expect beside the paper's rows.
EXTRA_METHODS = (
    'balanced_softmax',
    'ldam',
    'ldam_drw',
    'effective_number_drw',
    'class_balanced_focal',
    'label_smoothing',
    'ghm_c_samples',
    'ghm_cwap_balanced',
    'ghm_cwap_margin',
    'ghm_cwap_printed',
)
ABLATIONS = (
    'softmax',
    'ghm_cwap_margin',
    'ghm_cwap_ura_no_margin',
    'ghm_cwap_ura',
    'ghm_cwap',
)
IMBALANCE_FACTORS = (500, 100, 10, 1)
TABLE1_TASKS = {
    'cifar10': 'resnet32_cifar10_lt',
    'cifar100': 'resnet32_cifar100_lt',
    'tinyimagenet': 'resnet32_tinyimagenet_lt',
}
TABLE2_TASKS = {
    'imagenet': 'resnet50_imagenet_lt',
    'inat2017': 'resnet50_inat2017',
}
# Not in the paper, run when asked for: a model that a CPU can train.
SMALL_TASKS = {'cifar10_resnet8': 'resnet8_cifar10_lt'}
TABLES = ('table1', 'table2', 'table3')
DIGITS = 'resnet8_digits_lt'


@dataclass(frozen=True)
class Experiment:
    """One run: a method on a task, with a seed.

    Attributes:
        method (str): Name of the loss.
        task (str): Name of backbone, dataset and schedule.
        imbalance_factor (Optional[int]): None for naturally long-tailed sets.
        seed (int): Seed of initialisation, order and augmentation.
        epochs (Optional[int]): In place of the task's, its schedule scaled.
        amp (bool): Whether to train in bfloat16.
        regime (Optional[str]): One of :data:`~.evidence.REGIMES`.
        setting (Optional[str]): One of :data:`~.evidence.SETTINGS`, given
            with the regime.
        validation (bool): Whether to evaluate on held-out train images.
    """

    method: str
    task: str
    imbalance_factor: Optional[int]
    seed: int
    epochs: Optional[int] = None
    amp: bool = False
    regime: Optional[str] = None
    setting: Optional[str] = None
    validation: bool = False

    @property
    def name(self) -> str:
        """Name of the experiment without its seed."""
        if self.regime:
            part = 'validation' if self.validation else 'test'
            return f'{self.setting}/{self.regime}_{part}'
        factor = self.imbalance_factor
        return f'{self.method}/{self.task}' + (f'_if{factor}' if factor else '')


def plan_table(
    table: str,
    scale: str = 'full',
    datasets: Optional[Sequence[str]] = None,
    imbalance: Optional[Sequence[int]] = None,
    methods: Optional[Sequence[str]] = None,
    seeds: Sequence[int] = (0,),
    epochs: Optional[int] = None,
    amp: bool = False,
    decoded: bool = False,
) -> List[Experiment]:
    """List the runs of a table.

    Args:
        table (str): ``'table1'``, ``'table2'`` or ``'table3'``.
        scale (str): ``'full'``, or ``'quick'`` for the same methods on the
            embedded digits.
        datasets (Optional[Sequence[str]]): Some of the table's datasets.
        imbalance (Optional[Sequence[int]]): Imbalance factors (table 1).
        methods (Optional[Sequence[str]]): In place of the table's.
        seeds (Sequence[int]): Seeds.
        epochs (Optional[int]): Shorter schedule.
        amp (bool): Whether to train in bfloat16.
        decoded (bool): Whether to load by whole batches of decoded images.

    Returns:
        List[Experiment]: Seeds vary fastest last, so that all methods have one seed
        before any has two.

    Raises:
        ValueError: If a name is unknown or does not belong to the table.
    """
    if table not in TABLES:
        raise ValueError(f'table must be one of {TABLES}, got {table!r}')
    tasks = {'table1': TABLE1_TASKS, 'table2': TABLE2_TASKS}.get(
        table, {'imagenet': 'resnet50_imagenet_lt'}
    )
    rows: Sequence[str] = ABLATIONS if table == 'table3' else PAPER_METHODS
    if table == 'table2':
        rows = tuple(m for m in rows if m not in ('ghm_c', 'equalization'))
    if scale == 'quick':
        tasks = {'digits': DIGITS}
        if table == 'table1':
            rows = (*PAPER_METHODS, *EXTRA_METHODS)
    named = {**tasks, **(SMALL_TASKS if table == 'table1' else {})}
    unknown = set(datasets or ()) - set(named)
    if unknown:
        raise ValueError(
            f'{table} at scale {scale} has the datasets {", ".join(named)}, '
            f'got {", ".join(sorted(unknown))}'
        )
    chosen = [named[name] for name in datasets or tasks]
    if decoded:
        chosen = [f'{task}_decoded' for task in chosen]
        absent = sorted(set(chosen) - set(task_names()))
        if absent:
            raise ValueError(f'there is no task {", ".join(absent)}')
    experiments = []
    for seed in seeds:
        for task in chosen:
            for factor in _factors(table, scale, task, imbalance):
                for method in methods or rows:
                    experiments.append(
                        Experiment(method, task, factor, seed, epochs, amp)
                    )
    return experiments


def plan_evidence(
    regimes: Optional[Sequence[str]],
    settings: Optional[Sequence[str]],
    seeds: Sequence[int],
    validation: bool,
) -> List[Experiment]:
    """List the runs of the study in docs/results.md.

    Args:
        regimes (Optional[Sequence[str]]): Some of the regimes.
        settings (Optional[Sequence[str]]): Some of the settings.
        seeds (Sequence[int]): Seeds.
        validation (bool): Whether to evaluate on held-out train images.

    Returns:
        List[Experiment]: A setting comes before those that can go on from it.

    Raises:
        ValueError: If a name is unknown.
    """
    for kind, names, known in (
        ('regime', regimes, REGIMES),
        ('setting', settings, SETTINGS),
    ):
        unknown = sorted(set(names or ()) - set(known))
        if unknown:
            raise ValueError(
                f'unknown {kind} {", ".join(unknown)}; there are '
                f'{", ".join(known)}'
            )
    chosen = sorted(
        settings or SETTINGS, key=lambda name: bool(SETTINGS[name].starts_from)
    )
    return [
        evidence_experiment(regime, setting, seed, validation)
        for regime in regimes or REGIMES
        for seed in seeds
        for setting in chosen
    ]


def evidence_experiment(
    regime: str, setting: str, seed: int, validation: bool
) -> Experiment:
    """One run of the study.

    Args:
        regime (str): Name of the regime.
        setting (str): Name of the setting.
        seed (int): Seed of images, initialisation, order and augmentation.
        validation (bool): Whether to evaluate on held-out train images.

    Returns:
        Experiment: The run.
    """
    where = REGIMES[regime]
    return Experiment(
        SETTINGS[setting].method,
        where.task,
        where.imbalance_factor,
        seed,
        where.epochs,
        where.amp,
        regime,
        setting,
        validation,
    )


def prefix(experiment: Experiment) -> Optional[Tuple[Experiment, int]]:
    """Find the run that an experiment repeats before its weights begin to act.

    Args:
        experiment (Experiment): The run.

    Returns:
        Optional[Tuple[Experiment, int]]: The other run, and the number of epochs
        after which the experiment may go on from its checkpoint.
    """
    setting = SETTINGS[experiment.setting] if experiment.setting else None
    if setting is None or not setting.starts_from or not setting.begin:
        return None
    epochs = experiment_config(experiment).train_cfg.max_epochs
    return (
        replace(
            experiment,
            setting=setting.starts_from,
            method=SETTINGS[setting.starts_from].method,
        ),
        begin_epoch(setting.begin, epochs),
    )


def _factors(
    table: str, scale: str, task: str, imbalance: Optional[Sequence[int]]
) -> Sequence[Optional[int]]:
    if scale == 'quick':
        # The digits' tail has 143 / factor images.
        return imbalance or (20,)
    if table == 'table1':
        return imbalance or IMBALANCE_FACTORS
    return (None,) if task == 'resnet50_inat2017' else (100,)


def experiment_config(experiment: Experiment) -> Config:
    """Compose the config of a run.

    Args:
        experiment (Experiment): The run.

    Returns:
        Config: The config, without a work dir.
    """
    cfg = compose(
        experiment.method, experiment.task, experiment.imbalance_factor
    )
    cfg.randomness = dict(seed=experiment.seed, deterministic=False)
    if experiment.epochs is not None:
        shorten(cfg, experiment.epochs)
    if experiment.amp:
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
        cfg.val_cfg.fp16 = True  # MMEngine's name for autocast, bfloat16 here
    if experiment.regime and experiment.setting:
        apply(
            cfg,
            REGIMES[experiment.regime],
            SETTINGS[experiment.setting],
            experiment.seed,
            experiment.validation,
        )
    return cfg


def shorten(cfg: Config, epochs: int) -> None:
    """Shorten a run; the learning rate follows the run's length by itself.

    Args:
        cfg (Config): The config, changed in place.
        epochs (int): Epochs of the shorter run.
    """
    ratio = epochs / cfg.train_cfg.max_epochs
    cfg.train_cfg.max_epochs = epochs
    # Few validations, which weigh more in a short run.
    cfg.train_cfg.val_interval = max(
        1, round(cfg.train_cfg.val_interval * ratio), epochs // 2
    )
