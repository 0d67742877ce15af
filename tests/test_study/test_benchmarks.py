"""The benchmarks run, and the pages say what they found."""

import csv
import shutil
import subprocess
import sys

import pytest

from ..conftest import ROOT

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / 'study/benchmarks'
PAGES = ('docs/performance.md', 'docs/benchmarks.md', 'docs/datasets.md')


@pytest.fixture
def folder(tmp_path):
    """A folder with the page, where relative paths lead."""
    (tmp_path / 'docs').mkdir()
    for page in PAGES:
        shutil.copy(ROOT / page, tmp_path / page)
    shutil.copytree(
        ROOT / 'study/results/decoded', tmp_path / 'study/results/decoded'
    )
    return tmp_path


def run(folder, script, *args):
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', BENCHMARKS / script, *args],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_benchmarks_run(folder):
    """The quick ones; the others run when the figures are made."""
    names = ('losses', 'rebin', 'annotations')
    run(folder, 'run.py', *names, '--quick', '--device', 'cpu')
    found = {}
    for path in (folder / 'study/results/performance').glob('*.csv'):
        with open(path, newline='') as file:
            found[path.stem] = list(csv.DictReader(file))
    assert set(found) == {
        f'{name}_cpu'
        for name in (
            'losses',
            'losses_by_batch',
            'losses_by_classes',
            'rebin',
            'annotations',
        )
    }
    for rows in found.values():
        # Few images may add no memory.
        assert all(float(row['median']) >= 0 for row in rows)
        assert all(row['hardware'] and row['versions'] for row in rows)
    run(folder, 'render.py')
    page = (folder / 'docs/performance.md').read_text()
    assert '| 128 x 100' in page and '| 512 x 8142' not in page
    for name in ('by_classes', 'by_batch'):
        assert (folder / f'study/results/performance/{name}.png').stat().st_size
