"""What the benchmarks share: interleaved timing, paired ratios, CSV files."""

import csv
import platform
import time
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from mmghm.utils.environment import hardware

RESULTS = Path('study/results/performance')
PACKAGES = ('mmghm', 'torch', 'mmengine', 'mmpretrain', 'triton')


@dataclass
class Row:
    """One measured figure.

    Attributes:
        case (str): What it was measured on, such as ``'256 x 1000'``.
        subject (str): What was measured.
        unit (str): Unit of median and quartiles.
        median (float): Over the repetitions.
        q25 (float): First quartile.
        q75 (float): Third quartile.
        repeats (int): Number of repetitions.
        ratio (Optional[float]): Median of the ratios to the baseline of the
            same round; 1 for the baseline.
        ratio_q25 (Optional[float]): First quartile of the ratios.
        ratio_q75 (Optional[float]): Third quartile of the ratios.
        note (str): Anything else, such as bytes moved.
    """

    case: str
    subject: str
    unit: str
    median: float
    q25: float
    q75: float
    repeats: int
    ratio: Optional[float] = None
    ratio_q25: Optional[float] = None
    ratio_q75: Optional[float] = None
    note: str = ''


def interleave(
    subjects: Dict[str, Callable[[], object]],
    repeats: int,
    warmup: int = 3,
    device: str = 'cpu',
) -> Dict[str, np.ndarray]:
    """Time subjects in turn, so that what disturbs one disturbs all.

    Args:
        subjects (Dict[str, Callable[[], object]]): What to time, by name.
        repeats (int): Rounds.
        warmup (int): Rounds before them that are not kept.
        device (str): ``'cpu'`` or ``'cuda'``, which is waited for.

    Returns:
        Dict[str, np.ndarray]: Seconds of each round, by name.
    """
    wait = torch.cuda.synchronize if device == 'cuda' else _nothing
    samples: Dict[str, List[float]] = {name: [] for name in subjects}
    for number in range(warmup + repeats):
        for name, run in subjects.items():
            wait()
            start = time.perf_counter()
            run()
            wait()
            if number >= warmup:
                samples[name].append(time.perf_counter() - start)
    return {name: np.asarray(values) for name, values in samples.items()}


def summarise(
    case: str,
    samples: Dict[str, np.ndarray],
    baseline: str,
    unit: str = 'ms',
    scale: float = 1e3,
    inverse: bool = False,
) -> List[Row]:
    """Turn samples of one case into rows.

    Args:
        case (str): What they were measured on.
        samples (Dict[str, np.ndarray]): Figures of each round, by subject.
        baseline (str): The subject of ratio 1.
        unit (str): Unit after scaling.
        scale (float): Factor of the figures.
        inverse (bool): Whether a figure is ``scale / sample``: a rate.

    Returns:
        List[Row]: One a subject.
    """
    rows = []
    for subject, values in samples.items():
        figures = scale / values if inverse else scale * values
        reference = samples[baseline]
        ratios = reference / values if inverse else values / reference
        low, median, high = _quartiles(figures)
        ratio_low, ratio, ratio_high = _quartiles(ratios)
        rows.append(
            Row(
                case,
                subject,
                unit,
                median,
                low,
                high,
                len(values),
                ratio,
                ratio_low,
                ratio_high,
            )
        )
    return rows


def write(name: str, rows: List[Row], folder: Path = RESULTS) -> Path:
    """Write rows with the versions and the hardware, and print them.

    Args:
        name (str): Name of the benchmark, with the device.
        rows (List[Row]): The figures.
        folder (Path): Where to.

    Returns:
        Path: The CSV file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}.csv'
    where = dict(hardware=hardware(), versions=_versions())
    with open(path, 'w', newline='') as file:
        columns = [field.name for field in fields(Row)]
        writer = csv.DictWriter(file, [*columns, *where], lineterminator='\n')
        writer.writeheader()
        for row in rows:
            writer.writerow({**asdict(row), **where})
    console = Console(width=110)
    for row in rows:
        ratio = '' if row.ratio is None else f'{row.ratio:8.2f} x'
        console.print(
            f'{row.case:>16} {row.subject:<44} {row.median:>12g} '
            f'{row.unit:<9}{ratio} {row.note}',
            highlight=False,
        )
    console.print(f'Wrote {path}')
    return path


def progress(items: Iterable, description: str) -> Iterable:
    """Iterate with a progress bar.

    Args:
        items (Iterable): What to iterate over.
        description (str): What is going on.

    Returns:
        Iterable: The items.
    """
    return track(list(items), description=description)


def _nothing() -> None:
    pass


def _quartiles(values: np.ndarray) -> List[float]:
    """Quartiles to four digits; more would be noise."""
    return [float(f'{q:.4g}') for q in np.quantile(values, (0.25, 0.5, 0.75))]


def _versions() -> str:
    found = [f'python {platform.python_version()}']
    for package in PACKAGES:
        try:
            found.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            continue
    return ', '.join(found)
