import importlib.util
import os
import subprocess
import sys

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
            {'torch': '2.1.0', 'numpy': '2.4.6'},
            {},
            'built for NumPy 1',
            "pip install 'numpy<2'",
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
    versions = {'mmengine': '0.10.7', 'onedl-mmpretrain': '1.3.6'}
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    assert any('are mixed' in finding.what for finding in doctor._twice())
    versions = {
        'onedl-mmengine': '1',
        'onedl-mmpretrain': '1',
        'mmcv-lite': '2',
    }
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    assert not any('mixed' in finding.what for finding in doctor._twice())


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


def test_the_doctor_names_a_package_that_cannot_be_imported(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv/__init__.py').write_text("raise OSError('libcudart')")
    done = call(tmp_path, '-m', 'mmghm', 'doctor')
    assert done.returncode == 1
    assert 'import mmcv fails: OSError: libcudart' in done.stdout


PASSED = '  File "/env/lib/python3.11/site-packages/{}", line 1, in <module>\n'
MMDET = (
    PASSED.format('mmpretrain/models/utils/res_layer_extra_norm.py')
    + PASSED.format('mmdet/__init__.py')
    + 'AssertionError: MMCV==2.2.0 is used but incompatible.\n'
)
MULTIMODAL = (
    PASSED.format('mmpretrain/models/multimodal/blip/language_model.py')
    + 'TypeError: NoneType takes no arguments\n'
)


@pytest.mark.parametrize(
    'stderr, versions, cause, remedy',
    [
        (
            MMDET,
            {'mmdet': '3.3.0', 'transformers': '5.24.0'},
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by mmdet 3.3.0)',
            "pip install 'mmcv-lite<2.2.0,>=2.0.0rc4'",
        ),
        (
            MMDET.replace('mmdet', 'mmseg'),
            {'mmsegmentation': '1.2.2'},
            'AssertionError: MMCV==2.2.0 is used but incompatible. '
            '(raised by mmsegmentation 1.2.2)',
            "pip install 'mmcv-lite<2.2.0,>=2.0.0rc4'",
        ),
        (
            MULTIMODAL,
            {'mmpretrain': '1.2.0', 'transformers': '5.24.0'},
            'TypeError: NoneType takes no arguments (with transformers 5.24.0)',
            "pip install 'transformers<4.52'",
        ),
        (
            MULTIMODAL,
            {'mmpretrain': '1.2.0', 'transformers': '4.51.3'},
            'TypeError: NoneType takes no arguments',
            dependencies.REMEDIES['mmpretrain'],
        ),
    ],
)
def test_the_cause_of_a_failed_import(
    monkeypatch, stderr, versions, cause, remedy
):
    wanted = ['numpy', 'mmcv<2.2.0,>=2.0.0rc4; extra == "mim"']
    monkeypatch.setattr(doctor, 'installed_version', versions.get)
    monkeypatch.setattr(doctor, 'requires', lambda name: wanted)
    monkeypatch.setattr(doctor, 'owner_of', {'mmcv': 'mmcv-lite'}.get)
    assert doctor._cause('mmpretrain', stderr) == (cause, remedy)


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


def test_an_error_of_mmghm_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        "import sys\nsys.modules['mmghm.evaluation'] = None\n"
    )
    (finding,) = import_alone(monkeypatch, tmp_path, 'mmghm')
    assert 'import mmghm fails: ModuleNotFoundError' in finding.what
    assert 'mmghm.evaluation' in finding.what


def test_an_unknown_tool_is_named():
    done = call('', '-m', 'mmghm', 'trian')
    assert done.returncode == 2 and "'trian'" in done.stderr
    assert 'train' in done.stderr
