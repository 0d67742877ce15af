"""Lint, format, types and the agreement of docstrings with signatures."""

import subprocess
import sys

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    'command',
    [
        ['ruff', 'check', '.'],
        ['ruff', 'format', '--check', '.'],
        ['mypy'],
        ['pydoclint', '-q', 'mmghm', 'tools'],
    ],
    ids=lambda command: ' '.join(command[:2]),
)
def test_passes(command):
    module = [sys.executable, '-m', *command]
    if command[0] == 'pydoclint':
        module[2] = 'pydoclint.main'
    done = subprocess.run(module, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_in_docstrings_run():
    files = [
        'mmghm/models/losses/ghm_cwap/loss.py',
        'mmghm/utils/cached_function.py',
        'mmghm/datasets/long_tail.py',
        'mmghm/datasets/profiles.py',
    ]
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '--doctest-modules', *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and '4 passed' in done.stdout, done.stdout
