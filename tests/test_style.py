"""Lint, format, types and the agreement of docstrings with signatures."""

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
        ['pydoclint', '-q', 'mmghm', 'tools', 'study'],
    ],
    ids=lambda command: ' '.join(command[:2]),
)
def test_passes(command):
    module = [sys.executable, '-m', *command]
    if command[0] == 'pydoclint':
        module[2] = 'pydoclint.main'
    done = subprocess.run(module, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_examples_in_docstrings_run():
    files = [
        'mmghm/losses',
        'mmghm/datasets/long_tail.py',
        'mmghm/datasets/profiles.py',
    ]
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '--doctest-modules', *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and '10 passed' in done.stdout, done.stdout


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
