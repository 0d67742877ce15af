import importlib.util
import os
import subprocess
import sys
from importlib.metadata import metadata

import pytest

from mmghm.utils import dependencies, doctor
from mmghm.utils.errors import UserError


@pytest.mark.parametrize('missing', sorted(dependencies.REMEDIES))
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, missing):
    if missing == 'pkg_resources' and (
        dependencies.owner_of('mmengine') == 'onedl-mmengine'
    ):
        pytest.skip('the continuation does without it')
    find = importlib.util.find_spec
    monkeypatch.setattr(
        dependencies,
        'find_spec',
        lambda name: None if name == missing else find(name),
    )
    with pytest.raises(UserError) as error:
        dependencies.check_dependencies()
    assert f'{missing}: {dependencies.REMEDIES[missing]}' in str(error.value)
    (finding,) = (f for f in doctor.examine() if f.problem)
    assert (
        missing in finding.what
        and finding.remedy == dependencies.REMEDIES[missing]
    )


def test_the_present_stack_is_complete():
    dependencies.check_dependencies()
    assert not [finding for finding in doctor.examine() if finding.problem]


@pytest.mark.parametrize(
    'versions, requirements, what, remedy',
    [
        (
            {'torch': '2.13.0+cpu', 'torchvision': '0.29.2'},
            {'torchvision': ['numpy', 'torch==2.15.0']},
            'torchvision 0.29.2 was built for torch==2.15.0, and torch is',
            'matching pair',
        ),
        (
            {'mmcv': '2.1.0', 'mmcv-lite': '2.2.0'},
            {},
            'both installed',
            'pip uninstall -y mmcv mmcv-lite',
        ),
        (
            {'mmengine': '0.10.7', 'onedl-mmengine': '0.10.12'},
            {},
            "each other's files in the folder mmengine",
            'pip uninstall -y mmengine onedl-mmengine && pip install',
        ),
        (
            {'mmpretrain': '1.0.0', 'mmcv-lite': '2.2.0'},
            {'mmpretrain': ['mmcv<2.1.0,>=2.0.0; extra == "mim"']},
            'needs mmcv<2.1.0,>=2.0.0, and mmcv-lite is 2.2.0',
            "pip install 'mmcv-lite<2.1.0,>=2.0.0'",
        ),
    ],
)
def test_versions_that_do_not_fit(
    monkeypatch, versions, requirements, what, remedy
):
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    monkeypatch.setattr(doctor, 'requires', requirements.get)
    (finding,) = (f for f in doctor.examine() if f.problem)
    assert what in finding.what and remedy in finding.remedy


def test_a_mixture_of_two_stacks_is_named(monkeypatch):
    # Another problem, so that nothing is imported.
    monkeypatch.setattr(doctor, 'missing_modules', lambda: ['mmcv'])
    versions = {'mmengine': '0.10.7', 'onedl-mmpretrain': '1.3.6'}
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    assert any('are mixed' in finding.what for finding in doctor.examine())
    versions = {
        'onedl-mmengine': '1',
        'onedl-mmpretrain': '1',
        'mmcv-lite': '2',
    }
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    assert not any('mixed' in finding.what for finding in doctor.examine())


def call(folder, *args):
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, 'PYTHONPATH': str(folder), 'COLUMNS': '200'},
        capture_output=True,
        text=True,
    )


def test_the_doctor_works_where_the_package_does_not(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        'import importlib.util as util\n'
        'find = util.find_spec\n'
        "util.find_spec = lambda n, *a: n != 'mmpretrain' and find(n, *a) "
        'or None\n'
    )
    done = call(tmp_path, '-m', 'mmghm', 'doctor')
    assert done.returncode == 1
    assert 'mmpretrain is missing' in done.stdout
    assert dependencies.REMEDIES['mmpretrain'] in done.stdout
    assert 'Fix the problems above.' in done.stdout
    assert 'All is well' not in done.stdout


@pytest.mark.slow
def test_the_doctor_names_a_package_that_cannot_be_imported(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv/__init__.py').write_text("raise OSError('libcudart')")
    done = call(tmp_path, '-m', 'mmghm', 'doctor')
    assert done.returncode == 1
    assert 'import mmcv fails: OSError: libcudart' in done.stdout


@pytest.mark.parametrize(
    'raised_by, version, cause, remedy',
    [
        (
            'mmdet',
            '3.3.0',
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by mmdet 3.3.0)',
            "pip install 'mmcv-lite<2.2.0,>=2.0.0rc4'",
        ),
        (
            'mmseg',
            '1.2.2',
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by mmsegmentation 1.2.2)',
            "pip install 'mmcv-lite<2.2.0,>=2.0.0rc4'",
        ),
        (
            'transformers',
            '5.24.0',
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by transformers 5.24.0) (with transformers 5.24.0)',
            "pip install 'transformers<4.52'",
        ),
        (
            'transformers',
            '4.51.3',
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by transformers 4.51.3)',
            dependencies.REMEDIES['mmpretrain'],
        ),
    ],
)
def test_the_cause_of_a_failed_import(
    monkeypatch, tmp_path, raised_by, version, cause, remedy
):
    """mmpretrain imports a package that does not go with the others."""
    site = tmp_path / 'site-packages'
    for name, code in {
        'mmpretrain': f'import {raised_by}',
        raised_by: "raise AssertionError('MMCV==2.2.0 is used but "
        "incompatible.')",
    }.items():
        (site / name).mkdir(parents=True)
        (site / name / '__init__.py').write_text(code)
    wanted = {
        name: ['mmcv<2.2.0,>=2.0.0rc4; extra == "mim"']
        for name in ('mmdet', 'mmsegmentation')
    }
    distribution = doctor.DISTRIBUTIONS.get(raised_by, raised_by)
    versions = {distribution: version}
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    monkeypatch.setattr(doctor, 'requires', wanted.get)
    monkeypatch.setattr(doctor, 'owner_of', {'mmcv': 'mmcv-lite'}.get)
    (finding,) = import_alone(monkeypatch, site, 'mmpretrain')
    assert finding.what == f'import mmpretrain fails: {cause}'
    assert finding.remedy == remedy


def import_alone(monkeypatch, folder, name):
    monkeypatch.setattr(doctor, 'IMPORTED', (name,))
    monkeypatch.setenv('PYTHONPATH', str(folder))
    return [finding for finding in doctor.examine() if finding.problem]


def test_a_package_that_fails_beside_mmghm_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / 'mmpretrain').mkdir()
    (tmp_path / 'mmpretrain/__init__.py').write_text(
        "import sys\nassert 'mmghm' not in sys.modules, 'not beside it'\n"
    )
    (finding,) = import_alone(monkeypatch, tmp_path, 'mmghm')
    assert 'import mmghm warns: what needs mmpretrain' in finding.what
    assert 'AssertionError: not beside it' in finding.what


@pytest.mark.slow
def test_an_error_of_mmghm_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        "import sys\nsys.modules['mmghm.evaluation'] = None\n"
    )
    (finding,) = import_alone(monkeypatch, tmp_path, 'mmghm')
    assert 'import mmghm fails: ModuleNotFoundError' in finding.what
    assert 'mmghm.evaluation' in finding.what


@pytest.mark.parametrize('package', dependencies.OPTIONAL)
def test_the_extra_that_brings_a_module_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    module = dependencies.LazyModule(package)
    with pytest.raises(UserError) as error:
        module.something
    extra = dependencies.OPTIONAL[package].extra
    assert str(error.value).startswith(f'{package} is missing, for ')
    assert f"mmghm's extra `{extra}`" in str(error.value)
    assert f'Provides-Extra: {extra}\n' in str(metadata('mmghm'))


def test_a_module_that_is_broken_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / 'submitit.py').write_text('import nothing_of_this_name')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'submitit', raising=False)
    with pytest.raises(ModuleNotFoundError, match='nothing_of_this_name'):
        dependencies.import_optional('submitit')


def test_an_unknown_tool_is_named():
    done = call('', '-m', 'mmghm', 'trian')
    assert done.returncode == 2 and "'trian'" in done.stderr
    assert 'train' in done.stderr
