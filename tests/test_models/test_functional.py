"""The formulas need nothing but torch."""

import subprocess
import sys

from ..conftest import ROOT

PROGRAM = """
import importlib.util
import sys
from pathlib import Path

for name in ('mmghm', 'mmengine', 'mmpretrain', 'mmcv'):
    sys.modules[name] = None
folder = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location(
    'functional', folder / '__init__.py', submodule_search_locations=[str(folder)]
)
sys.modules['functional'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules['functional'])
for path in sorted(folder.glob('[a-z]*.py')):
    importlib.import_module(f'functional.{path.stem}')
    print(path.stem)
"""


def test_import_with_torch_alone():
    folder = ROOT / 'mmghm/models/losses/functional'
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        'class_weights',
        'intra_weight',
        'margin',
        'regions',
    ]
