"""Which trials there are, what they cost, and what a budget leaves of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmghm.engine.grid import Job
from mmghm.engine.recipes import run_length
from mmghm.features.cached import FEATURES, feature_config
from mmghm.features.training import FACTORS
from mmghm.utils.errors import UserError, settings_errors

from .answer import CLASSIFIER, REFERENCE
from .settings import fingerprint, held_out, trial_config
from .trial import run_posthoc_trials, run_trial, write_frozen_features

# Without ablations, which are no methods of their own.
LOSSES = (
    *('softmax', 'class_balanced', 'focal', 'ghm_c', 'effective_number'),
    *('equalization', 'seesaw', 'ghm_cwap', 'balanced_softmax', 'ldam'),
    *('ldam_drw', 'effective_number_drw', 'class_balanced_focal'),
    *('label_smoothing', 'ghm_cwap_balanced'),
)


@dataclass(frozen=True)
class Plan:
    """The trials of a config.

    Attributes:
        cfg (Config): Any config of a training.
        methods (Tuple[str, ...]): Losses, ``'softmax'`` first.
        seeds (int): Runs of each method.
        holdout (float): Share of every class to evaluate on.
        frozen (bool): Whether all trials train on features, see
            :func:`~.trial.is_frozen`.
        out (Path): Folder of everything.
        data (str): Of :func:`~.settings.data_digest`: results of other images
            have other names.
    """

    cfg: Config
    methods: Tuple[str, ...]
    seeds: int
    holdout: float
    frozen: bool
    out: Path
    data: str = ''

    def settings(self, method: str, seed: int) -> Config:
        """Config of a trial with the whole network, without a work dir."""
        return trial_config(self.cfg, method, seed, self.holdout)

    def features_job(self) -> Job:
        """Writes the features of a frozen backbone, the same for all trials."""
        settings = self.settings(REFERENCE, 0)
        work_dir, _ = self._places('features', settings)
        return Job(
            'features of the frozen backbone',
            write_frozen_features,
            (settings.to_dict(), work_dir),
            work_dir,
            work_dir / FEATURES,
            1,
        )

    def trial(self, method: str, seed: int) -> Job:
        """A method with a seed.

        Its result is kept under a name that differs wherever its settings do.
        That of softmax writes the features of its backbone beside its
        checkpoints.
        """
        settings = self.settings(method, seed)
        if self.frozen:
            settings = feature_config(settings, self.features_job().out)
        work_dir, out = self._places(f'{method}_s{seed}', settings)
        reference = method == REFERENCE
        writes = reference and not self.frozen
        return Job(
            f'{method} seed {seed}',
            run_trial,
            (
                *(settings.to_dict(), out, work_dir),
                *(work_dir / FEATURES if writes else None, reference),
                FACTORS if self.frozen else (1.0,),
            ),
            work_dir,
            out,
            run_length(settings),
        )

    def trials(self) -> List[Job]:
        """All methods with the first seed, then with the next."""
        return [
            self.trial(method, seed)
            for seed in range(self.seeds)
            for method in self.methods
        ]

    def features(self, seed: int) -> Path:
        """Where the features of that seed's softmax run lie."""
        if self.frozen:
            return self.features_job().out
        return self.trial(REFERENCE, seed).work_dir / FEATURES

    def posthoc(self, seed: int) -> Job:
        """Classifiers from the softmax run's features, all in one job.

        It reads the softmax trial's result.
        """
        softmax = self.trial(REFERENCE, seed)
        work_dir = softmax.work_dir / 'posthoc'
        out = softmax.out.with_name(f'posthoc_{softmax.out.name}')
        return Job(
            f'post-hoc classifiers, seed {seed}',
            run_posthoc_trials,
            (
                *(self.features(seed), softmax.out),
                *(self.cfg.model.head.num_classes, seed, out, work_dir),
            ),
            work_dir,
            out,
            1,
        )

    def classifier(self, loss: str, seed: int) -> Job:
        """A classifier trained with a loss on the softmax run's features.

        ``seed`` is that of the softmax run, and of the training.
        """
        settings = feature_config(
            self.settings(loss, seed), self.features(seed)
        )
        work_dir, out = self._places(f'classifier_{loss}_s{seed}', settings)
        return Job(
            f'{CLASSIFIER}{loss} seed {seed}',
            run_trial,
            (settings.to_dict(), out, work_dir, None, False, FACTORS),
            work_dir,
            out,
            run_length(settings),
        )

    def parts(self) -> Tuple[Any, Any]:
        """Build the datasets to train and to evaluate on, to look at."""
        tested = self.cfg.get('val_dataloader') or self.cfg.test_dataloader
        settings = held_out(
            self.cfg.train_dataloader.dataset, self.holdout, tested.dataset
        )
        scope = DefaultScope.overwrite_default_scope('mmpretrain')
        with scope, settings_errors():
            inner = DATASETS.build(settings.pop('dataset'))
            train, holdout = (
                DATASETS.build(dict(settings, part=part, dataset=inner))
                for part in ('train', 'holdout')
            )
        return train, holdout

    def within(
        self, seconds: Optional[float], cost: Callable[['Plan'], float]
    ) -> Tuple['Plan', str]:
        """Cut the plan to a budget: seeds first, then methods from the end.

        ``cost`` gives the seconds that a plan takes; None of them cuts nothing.
        Gives what is left, and what was cut, in words. A UserError says that not
        even two methods with one seed fit.
        """
        plan = self
        while seconds is not None and cost(plan) > seconds:
            if plan.seeds > 1:
                plan = replace(plan, seeds=plan.seeds - 1)
            elif len(plan.methods) > 2:
                plan = replace(plan, methods=plan.methods[:-1])
            else:
                raise UserError(
                    f'--budget is too short: {" and ".join(plan.methods)} with '
                    f'one seed take about {duration(cost(plan))}; allow more, '
                    'or shorten the recipe by --cfg-options '
                    'train_cfg.max_epochs=N'
                )
        cut = []
        if plan.seeds < self.seeds:
            cut.append(f'{plan.seeds} of {self.seeds} seeds')
        left_out = self.methods[len(plan.methods) :]
        if left_out:
            cut.append(f'without {", ".join(left_out)}')
        return plan, ', '.join(cut)

    def _places(self, name: str, settings: Config) -> Tuple[Path, Path]:
        stem = f'{name}_{fingerprint(settings, self.data)}'
        return self.out / 'runs' / stem, self.out / 'results' / f'{stem}.npz'


def duration(seconds: float) -> str:
    """Write seconds as people say it, such as ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 1:
        return f'{seconds:.1f} s'
    if seconds < 90:
        return f'{seconds:.0f} s'
    if seconds < 90 * 60:
        return f'{seconds / 60:.0f} min'
    return f'{seconds / 3600:.1f} h'
