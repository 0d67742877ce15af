"""Lint, format, types and the agreement of docstrings with signatures."""

import doctest
import importlib
import re
import subprocess
import sys

import pytest

from .conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    'command',
    [
        ['ruff', 'check', '.'],
        ['ruff', 'format', '--check', '.'],
        ['mypy'],
        ['pydoclint.main', '-q', 'mmghm', 'tools', 'study'],
        ['study.pages', '--check'],
    ],
    ids=lambda command: ' '.join(command[:2]),
)
def test_passes(command):
    module = [sys.executable, '-m', *command]
    done = subprocess.run(module, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    'module',
    [
        *(
            f'mmghm.losses.{name}'
            for name in (
                *('equalization', 'ghm_c', 'ghm_cwap', 'ldam'),
                *('logit_adjusted', 'reweighted', 'seesaw'),
            )
        ),
        'mmghm.datasets.long_tail',
        'mmghm.datasets.profiles',
    ],
)
def test_examples_in_docstrings_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted and not found.failed


def test_imports_point_one_way():
    # The table of rooms in CONTRIBUTING, from the roof down.
    table = (ROOT / 'CONTRIBUTING.md').read_text()
    rooms = re.findall(r'^\| `(\w+)/` \|', table, flags=re.MULTILINE)
    package = ROOT / 'mmghm'
    assert set(rooms) == {
        folder.name
        for folder in package.iterdir()
        if (folder / '__init__.py').is_file()
    }
    for above, room in enumerate(rooms):
        imports = re.compile(
            rf'^\s*from (?:mmghm\.|\.+)({"|".join(rooms[:above])})\b',
            flags=re.MULTILINE,
        )
        for file in (package / room).rglob('*.py'):
            assert not above or not imports.search(file.read_text()), file
