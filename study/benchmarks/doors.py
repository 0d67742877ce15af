#!/usr/bin/env python
"""Type README's commands in a fresh environment, and note sizes and minutes.

Writes study/results/performance/doors.json, which study/pages.py puts into the
pages. It needs the package index, 8 GB of disk and an otherwise idle machine.

Example:
    python study/benchmarks/doors.py my_photos
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any, Dict

ROOT = Path(__file__).resolve().parents[2]
# `study` is no installed package.
sys.path.insert(0, str(ROOT))

from mmghm.utils.environment import hardware
from mmghm.utils.errors import one_line_errors

OUT = ROOT / 'study/results/performance/doors.json'
INSTALL = "pip install '.[lite]'"
START = 'python tools/train.py configs/ghm_cwap/resnet8_digits_lt.py'
PHOTOGRAPHS = "pip install '.[lite,photographs]'"
CHOOSE = (
    'DATA_ROOT=my_photos mmghm choose configs/own_data/linear_probe.py '
    '--out choice'
)
# The features of the photographs are kept from the first time.
AGAIN = CHOOSE + '_again'
TRAIN = 'mmghm train choice/chosen.py'


def size(folder: Path) -> float:
    """Size of a folder in GB."""
    return sum(p.lstat().st_size for p in folder.rglob('*')) / 1e9


def type_commands(photos: Path, folder: Path) -> Dict[str, Any]:
    """Type the commands in a clone with an empty environment.

    Args:
        photos (Path): Class folders with ``train/``.
        folder (Path): An empty folder.

    Returns:
        Dict[str, Any]: ``minutes`` by command, ``gigabytes`` of the environment
        by command, ``images`` in ``train/``, ``python``, ``hardware``.
    """
    clone, environment = folder / 'mmghm', folder / 'venv'
    subprocess.run(['git', 'clone', '-q', str(ROOT), str(clone)], check=True)
    venv.create(environment, with_pip=True)
    (clone / 'my_photos').symlink_to(photos.resolve())
    variables = {
        **os.environ,
        'PATH': f'{environment}/bin:{os.environ["PATH"]}',
        'MMGHM_CACHE': str(folder / 'cache'),
    }
    variables.pop('PYTHONPATH', None)
    minutes, gigabytes = {}, {}
    for command in (INSTALL, START, PHOTOGRAPHS, CHOOSE, AGAIN, TRAIN):
        print(f'+ {command}', flush=True)
        began = time.time()
        subprocess.run(
            ['bash', '-c', command], cwd=clone, env=variables, check=True
        )
        minutes[command] = round((time.time() - began) / 60, 2)
        if command.startswith('pip'):
            gigabytes[command] = round(size(environment), 2)
    return dict(
        minutes=minutes,
        gigabytes=gigabytes,
        images=sum(p.is_file() for p in (photos / 'train').rglob('*')),
        python=sys.version.split()[0],
        hardware=hardware(),
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('photos', type=Path, help='folder with train/CLASS/')
    parser.add_argument('--out', type=Path, default=OUT)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = type_commands(args.photos, Path(folder))
    args.out.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    with one_line_errors('doors.py', debug=False):
        main(parse_args())
