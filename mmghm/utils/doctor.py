"""What is wrong with an installation, and the fix.

It is there for installations in which nothing but Python can be imported.
"""

import importlib
import platform
import re
import subprocess
import sys
from importlib.metadata import requires
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

from .dependencies import (
    HOSTS,
    OPTIONAL,
    OWNERS,
    REMEDIES,
    HostWarning,
    hidden_by,
    installed_version,
    missing_modules,
    owner_of,
)

PYTHON_RANGE = ((3, 10), (3, 13))
_TORCH = ('torch', 'torchvision')
SHOWN = ('mmghm', *_TORCH, *OWNERS, 'numpy', 'setuptools', 'triton')
# In the order in which they build on each other.
IMPORTED = ('numpy', *_TORCH, 'mmcv', *HOSTS.values(), 'mmghm')
# Imports the package and prints a line for each warning that users would see.
IMPORT_MMGHM = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', UserWarning)
    import mmghm
for found in caught:
    print(found.category.__name__, *str(found.message).split())
"""
# Distributions that are not named as their packages.
DISTRIBUTIONS = {'mmseg': 'mmsegmentation'}


class Finding(NamedTuple):
    """Something that is wrong or worth knowing."""

    # Whether it keeps the package from working; what it is; what to run.
    problem: bool
    what: str
    remedy: str = ''


def versions() -> List[Tuple[str, str]]:
    """Names and versions of what the package builds on."""
    rows = [('Python', platform.python_version())]
    for name in SHOWN:
        owners = OWNERS.get(name, (name,))
        found = [owner for owner in owners if installed_version(owner)]
        for owner in found or [name]:
            rows.append((owner, installed_version(owner) or 'not installed'))
    return rows


def examine() -> List[Finding]:
    """Look for everything that is known to go wrong, problems first."""
    findings = [*_hidden(), *_python(), *_missing(), *_twice()]
    for further in (_pairs, _imports, _accelerator):
        if not any(finding.problem for finding in findings):
            findings += further()
    return sorted(findings, key=lambda finding: not finding.problem)


def _hidden() -> Iterator[Finding]:
    folder = hidden_by()
    if folder:
        yield Finding(
            True,
            f'the folder {folder} hides the installed package here: `import '
            'mmghm` finds an empty one',
            f'cd {folder}',
        )


def _python() -> Iterator[Finding]:
    lowest, highest = PYTHON_RANGE
    if not lowest <= sys.version_info[:2] <= highest:
        yield Finding(
            sys.version_info[:2] < lowest,
            f'Python {platform.python_version()} is not among the tested '
            f'{lowest[0]}.{lowest[1]} to {highest[0]}.{highest[1]}',
            f'python{highest[0]}.{highest[1]} -m venv .venv',
        )


def _missing() -> Iterator[Finding]:
    missing = missing_modules()
    for name in missing:
        yield Finding(True, f'{name} is missing', REMEDIES[name])
    for name in () if missing else missing_modules(OPTIONAL):
        what = f'{name} is not installed, for {OPTIONAL[name].lost}'
        yield Finding(False, what, OPTIONAL[name].remedy)


def _twice() -> Iterator[Finding]:
    for folder, owners in OWNERS.items():
        found = [name for name in owners if installed_version(name)]
        if len(found) > 1:
            names = ' and '.join(found)
            yield Finding(
                True,
                f'{names} are both installed and have overwritten each '
                f"other's files in the folder {folder}",
                f'pip uninstall -y {" ".join(found)} && {REMEDIES[folder]}',
            )
    # mmcv-lite goes with either, as far as its operators are not needed.
    kinds = {
        name.startswith('onedl-')
        for folder in ('mmengine', 'mmpretrain')
        for name in OWNERS[folder]
        if installed_version(name)
    }
    if len(kinds) > 1:
        yield Finding(
            False,
            'packages of OpenMMLab and of their continuation (onedl-) are '
            'mixed, which neither of them tests',
            'one kind in a fresh environment: ' + REMEDIES['mmengine'],
        )


def _pairs() -> Iterator[Finding]:
    """What installed distributions say about each other's versions."""
    torch, torchvision = map(installed_version, _TORCH)
    if torch and torchvision:
        for wanted in _wants('torchvision', 'torch'):
            if not wanted.specifier.contains(torch, prereleases=True):
                yield Finding(
                    True,
                    f'torchvision {torchvision} was built for '
                    f'{wanted}, and torch is {torch}',
                    REMEDIES['torchvision'],
                )
    for mmcv in ('mmcv', 'mmcv-lite'):
        found = installed_version(mmcv)
        for wanted in _wants('mmpretrain', 'mmcv') if found else ():
            if not wanted.specifier.contains(found or '', prereleases=True):
                yield Finding(
                    True,
                    f'mmpretrain {installed_version("mmpretrain")} needs '
                    f'mmcv{wanted.specifier}, and {mmcv} is {found}',
                    f"pip install '{mmcv}{wanted.specifier}'",
                )


def _wants(distribution: str, dependency: str) -> List[Any]:
    """Requirements of an installed distribution, those of extras included."""
    # MMEngine brings it, by matplotlib.
    from packaging.requirements import Requirement

    if installed_version(distribution) is None:
        return []
    wanted = [Requirement(line) for line in requires(distribution) or ()]
    return [r for r in wanted if r.name == dependency]


def _imports() -> Iterator[Finding]:
    """Import everything in a process of its own: it may crash."""
    warned, failed = _import('mmghm')
    if failed or any(finding.problem for finding in warned):
        # It imports all the others: which of them fails by itself?
        for name in IMPORTED:
            alone = _import(name)[1]
            if alone:
                yield alone
                return
        if failed:
            yield failed
    yield from warned


def _import(name: str) -> Tuple[List[Finding], Optional[Finding]]:
    """What an import warns of, and why it fails if it does."""
    program = IMPORT_MMGHM if name == 'mmghm' else f'import {name}'
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', program],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        cause, remedy = _cause(name.partition('.')[0], done.stderr)
        return [], Finding(True, f'import {name} fails: {cause}', remedy)
    lines = [line.partition(' ') for line in done.stdout.splitlines()]
    return [
        Finding(category == HostWarning.__name__, f'import mmghm warns: {text}')
        for category, _, text in lines
        if category.endswith('Warning')
    ], None


def _cause(package: str, stderr: str) -> Tuple[str, str]:
    """What made the import of a package fail by its traceback; what to run."""
    from packaging.version import Version

    cause = (stderr.strip().splitlines() or ['no message'])[-1]
    passed = re.findall(
        r'File ".*[/\\](?:site|dist)-packages[/\\](\w+)', stderr
    )
    raised_by = passed[-1] if passed else package
    raised_by = DISTRIBUTIONS.get(raised_by, raised_by)
    found = installed_version(raised_by)
    if raised_by != package and found:
        cause += f' (raised by {raised_by} {found})'
    # The packages of OpenMMLab assert versions of each other.
    for host in ('mmcv', 'mmengine'):
        if f'{host}==' in cause.lower():
            for wanted in _wants(raised_by, host):
                return (
                    cause,
                    f"pip install '{owner_of(host)}{wanted.specifier}'",
                )
    transformers = installed_version('transformers')
    if (
        transformers
        and Version(transformers) >= Version('4.52')
        and re.search('multimodal|transformers', stderr)
    ):
        # MMPretrain's multimodal models import what 4.52 and 4.56 removed.
        cause += f' (with transformers {transformers})'
        return cause, "pip install 'transformers<4.52'"
    if package == 'mmghm':
        return cause, ''
    remedy = f'pip install --force-reinstall {package}'
    return cause, REMEDIES.get(package, remedy)


def _accelerator() -> Iterator[Finding]:
    torch = importlib.import_module('torch')
    if torch.cuda.is_available():
        number = torch.cuda.device_count()
        names = set(map(torch.cuda.get_device_name, range(number)))
        yield Finding(False, f'{number} GPU(s): {", ".join(names)}')
    elif torch.version.cuda is None:
        yield Finding(
            False,
            'no GPU: this PyTorch was built without CUDA; training runs on '
            'the CPU',
            'choose a CUDA build at https://pytorch.org/get-started/locally/',
        )
    else:
        yield Finding(
            False,
            f'no GPU: PyTorch was built for CUDA {torch.version.cuda} and '
            'finds no device; training runs on the CPU',
            'nvidia-smi (if the machine has one, its driver is the cause)',
        )
