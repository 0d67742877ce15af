"""Grids share the threads among their runs, and take them along when killed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path
from rich.console import Console
import work
from mmghm.engine.grid import Job, run_here
if __name__ == '__main__':
    job = Job('a run', work.run, (), Path('run'), Path('run/out'), 1)
    run_here([job], Console())
"""
WORK = """
import os, time
from pathlib import Path
def run():
    Path('new').write_text(str(os.getpid()))
    Path('new').rename('number')
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_grid_leaves_no_run(tmp_path):
    (tmp_path / 'program.py').write_text(PROGRAM)
    (tmp_path / 'work.py').write_text(WORK)
    grid = subprocess.Popen([sys.executable, 'program.py'], cwd=tmp_path)
    deadline = time.time() + 120
    while not (tmp_path / 'number').exists():
        assert grid.poll() is None and time.time() < deadline
        time.sleep(0.05)
    run = Path('/proc', (tmp_path / 'number').read_text())
    grid.kill()
    grid.wait()
    deadline = time.time() + 30
    # One that nobody waits for may stay a zombie.
    while run.exists() and 'State:\tZ' not in (run / 'status').read_text():
        assert time.time() < deadline
        time.sleep(0.05)


PAIR = """
from pathlib import Path
import torch
from rich.console import Console
import work
from mmghm.engine.grid import Job, run_here
if __name__ == '__main__':
    torch.set_num_threads(4)
    outs = [Path('a/out'), Path('b/out')]
    jobs = [Job(str(o), work.run, (o,), o.parent, o, 1) for o in outs]
    assert not run_here(jobs, Console(), 3)
"""


@pytest.mark.slow
def test_runs_side_by_side_share_the_threads(tmp_path):
    (tmp_path / 'program.py').write_text(PAIR)
    (tmp_path / 'work.py').write_text(
        'import torch\n'
        'def run(out):\n'
        '    out.write_text(str(torch.get_num_threads()))\n'
    )
    subprocess.run([sys.executable, 'program.py'], cwd=tmp_path, check=True)
    found = [(tmp_path / run / 'out').read_text() for run in 'ab']
    assert found == ['2', '2']
