"""Tests on other releases than the newest ones: ``nox -s oldest``.

The README's test command runs the short tests on what pip resolves for the
Python at hand; these sessions run them elsewhere.
"""

import nox

nox.options.sessions = ['oldest']

SHORT = (
    *('pytest', '-n', '2', '--dist', 'loadfile', '-m', 'not slow'),
    # Tables and pages of the study, generated calls, style: they do not depend
    # on the releases.
    *('--ignore', 'tests/test_study'),
    *('--ignore', 'tests/test_losses/test_fuzz.py'),
    *('--ignore', 'tests/test_style.py'),
)
OLDEST = [
    'torch==2.4.0',
    'torchvision==0.19.0',
    'numpy==1.26.0',
    'mmengine==0.10.1',
    'mmpretrain==1.0.0',
    'mmcv-lite==2.0.1',
    'setuptools<82',
]


@nox.session(python='3.10')
def oldest(session: nox.Session) -> None:
    """Short tests on the oldest releases that the metadata allows."""
    session.install(*OLDEST, '-e', '.[tests]')
    session.run(*SHORT)


@nox.session(python='3.11')
def mim(session: nox.Session) -> None:
    """``mim train mmghm``; openmim's own pins would downgrade setuptools."""
    session.install('-e', '.[lite]', 'pytest', 'hypothesis')
    session.install('--no-deps', 'openmim==0.3.9')
    session.install('click', 'colorama', 'model-index', 'tabulate', 'pandas')
    session.install('requests')
    session.run('pytest', 'tests/test_package.py', '-k', 'mim')


@nox.session(python='3.11')
def onedl(session: nox.Session) -> None:
    """Short tests on the continuation of OpenMMLab's packages."""
    session.install('-e', '.[onedl,tests]')
    # onedl-mmcv has to be compiled, and pip would bring OpenMMLab's mmengine.
    session.install('--no-deps', 'mmcv-lite>=2.0,<2.4')
    session.install('pillow')
    session.run(*SHORT)
