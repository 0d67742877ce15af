"""What a finished or running experiment has left in its work dir."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from zipfile import BadZipFile

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log

from mmghm.engine.work_dir import (
    IN_USE_FILE,
    PREDICTIONS,
    RECORD,
    RUN_FILE,
    TEST_PREDICTIONS,
)
from mmghm.utils.literals import read_settings

Curve = Tuple[List[float], List[float]]
# Means and deviations under a shift of the class prior.
_SHIFT = ('trained', 'known', 'estimated', 'error')


@dataclass
class Run:
    """A run, as far as its work dir tells of it.

    Args:
        name (str): Shown name.
        config (Config): Its settings, as far as they are plain values.
        facts (Dict[str, Any]): Of ``record/run.json``; empty without it.
        train (Dict[str, Curve]): Logged figures of training by name, against
            the epoch (the iteration if epochs are not logged).
        validation (Dict[str, Curve]): Those of validations.
        predictions (Optional[Dict[str, np.ndarray]]): Of the last validation.
        test (Optional[Dict[str, np.ndarray]]): Of the last test, with the name of
            the tested ``checkpoint``.
        histogram_files (Dict[int, Path]): Recorded histograms by step.
        in_use (Optional[Dict[str, Any]]): Of ``test --prior``.
        train_images (Optional[Dict[str, Any]]): Of ``report --checkpoint``.
    """

    name: str
    config: Config
    facts: Dict[str, Any] = field(default_factory=dict)
    train: Dict[str, Curve] = field(default_factory=dict)
    validation: Dict[str, Curve] = field(default_factory=dict)
    predictions: Optional[Dict[str, np.ndarray]] = None
    test: Optional[Dict[str, np.ndarray]] = None
    histogram_files: Dict[int, Path] = field(default_factory=dict)
    in_use: Optional[Dict[str, Any]] = None
    train_images: Optional[Dict[str, Any]] = None

    @property
    def class_counts(self) -> Optional[np.ndarray]:
        """Train images per class, int64 (C,), None if not recorded."""
        counts = self.facts.get('class_counts')
        return None if counts is None else np.asarray(counts, dtype=np.int64)

    @property
    def class_names(self) -> List[str]:
        """Names of the C classes; their numbers where no names are known."""
        counts = self.class_counts
        number = 0 if counts is None else len(counts)
        names = list(self.facts.get('classes') or ())[:number]
        return names + [str(i) for i in range(len(names), number)]


def read_run(work_dir: Path, name: Optional[str] = None) -> Run:
    """Read a work dir, as a run called ``name``; by default as the folder.

    A resumed run has a folder of logs for each start; where they overlap, the
    later one holds. A FileNotFoundError says that it is no work dir of an
    MMEngine run.
    """
    configs = training_configs(work_dir) or sorted(work_dir.glob('*.py'))
    if not configs:
        raise FileNotFoundError(
            f'{work_dir} is no work dir of a run: it holds neither '
            '*/vis_data/config.py nor a config. Give the folder that '
            'mmghm train wrote (--work-dir, or work_dirs/METHOD/TASK)'
        )
    # Written by MMEngine, or by whoever gave the folder away: not to be run.
    text = configs[-1].read_text(encoding='utf-8', errors='replace')
    config = Config(read_settings(text))
    train, validation = _read_scalars(work_dir)
    record = work_dir / RECORD
    return Run(
        name or work_dir.resolve().name,
        config,
        _read_facts(record / RUN_FILE),
        train,
        validation,
        read_arrays(record / PREDICTIONS),
        read_arrays(record / TEST_PREDICTIONS),
        {
            int(path.stem.rpartition('_')[2]): path
            for path in sorted(record.glob('histograms_*.npz'))
        },
        _read_in_use(record / IN_USE_FILE),
    )


def training_configs(work_dir: Path) -> List[Path]:
    """The logged configs of a run's trainings, the newest last.

    A test logs its own, and no curve beside it.
    """
    logged = sorted(work_dir.glob('*/vis_data/config.py'))
    trained = [p for p in logged if (p.parent / 'scalars.json').exists()]
    return trained or logged


def _read_facts(path: Path) -> Dict[str, Any]:
    """What a run's record says; empty without it."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding='utf-8')))
    except (TypeError, ValueError) as error:
        print_log(f'{path} is damaged and left out: {error!r}', level=30)
        return {}


def _read_in_use(path: Path) -> Optional[Dict[str, Any]]:
    """Figures of ``test --prior``, in plain numbers; None without them."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        return dict(
            told=f'{found["prior_from"]}',
            fitted_on=f'{found["fitted_on"]}',
            temperature=float(found['temperature']),
            shifts=[
                [
                    *(f'{row["name"]}', int(row['images'])),
                    *(list(map(float, row[key])) for key in _SHIFT),
                ]
                for row in found['shifts']
            ],
            calibration={
                stage: {name: float(v) for name, v in errors.items()}
                for stage, errors in found['calibration'].items()
            },
            coverage={
                group: [list(map(float, of[k])) for k in ('coverage', 'risk')]
                for group, of in found['coverage'].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        print_log(f'{path} is damaged and left out: {error!r}', level=30)
        return None


def read_arrays(path: Path) -> Optional[Dict[str, np.ndarray]]:
    """Read a recorded ``.npz`` file.

    None if there is no such file or, with a warning, if it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (BadZipFile, ValueError, OSError) as error:
        print_log(f'{path} is damaged and left out: {error}', level=30)
        return None


def _read_scalars(work_dir: Path) -> Tuple[Dict[str, Curve], Dict[str, Curve]]:
    """Curves of training and of validation, from MMEngine's local backend."""
    noted: Dict[bool, Dict[str, Dict[float, float]]] = {True: {}, False: {}}
    iterations_per_epoch = 1.0
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                # The last line of a run that was killed while it wrote.
                continue
            trains = 'iter' in entry and 'lr' in entry
            step = entry.get('step', 0)
            if trains and entry.get('epoch'):
                # Its last line ends the epoch.
                iterations_per_epoch = max(
                    iterations_per_epoch, entry['iter'] / entry['epoch']
                )
            for key, value in entry.items():
                if key in ('step', 'iter', 'epoch', 'data_time', 'time'):
                    continue
                if isinstance(value, (int, float)):
                    noted[trains].setdefault(key, {})[step] = value

    def curves(trains: bool, scale: float) -> Dict[str, Curve]:
        return {
            key: (
                [round(step / scale, 4) for step in sorted(points)],
                [points[step] for step in sorted(points)],
            )
            for key, points in noted[trains].items()
        }

    return curves(True, iterations_per_epoch), curves(False, 1.0)
