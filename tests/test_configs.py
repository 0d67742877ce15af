import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, DefaultScope
from mmpretrain.registry import MODELS

from mmghm.engine.configs import compose

from .conftest import CONFIGS

PAPER = dict(
    margin='paper',
    alpha=0.9,
    gamma=0.8,
    num_regions=30,
    intra_balance=True,
    adaptive=True,
    normalize='gradient',
    begin=0.8,
)
# What each config changes of the paper's method.
CHANGED = {
    'ghm_cwap': {},
    'ghm_cwap_printed': dict(normalize='none', begin=0),
    'ghm_cwap_balanced': dict(margin='balanced', gamma=1.0),
    'ghm_cwap_margin': dict(intra_balance=False),
    'ghm_cwap_ura': dict(adaptive=False),
    'ghm_cwap_ura_no_margin': dict(adaptive=False, margin='none'),
}


def test_a_file_for_each_cell_of_the_paper():
    factors = [f'_if{factor}' for factor in (1, 10, 100, 500)]
    expected = {
        f'resnet32_{data}_lt{factor}'
        for data in ('cifar10', 'cifar100', 'tinyimagenet')
        for factor in factors
    } | {'resnet50_imagenet_lt', 'resnet50_inat2017', 'resnet8_digits_lt'}
    for method in ('ghm_cwap', 'softmax'):
        names = {path.stem for path in CONFIGS.glob(f'{method}/*.py')}
        assert names == expected


def values_of(cfg):
    """The values that a config trains with, defaults and all."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loss = MODELS.build(cfg.model.head.loss)
        (hook,) = (
            HOOKS.build(h)
            for h in cfg.custom_hooks
            if h.type == 'AURARebinHook'
        )
    values = {key: getattr(loss, key) for key in PAPER if key != 'begin'}
    return dict(values, begin=hook.begin)


@pytest.mark.parametrize('method', CHANGED)
def test_what_is_the_papers(method):
    found = values_of(compose(method, 'resnet8_digits_lt'))
    assert found == {**PAPER, **CHANGED[method]}


@pytest.mark.parametrize(
    'path', sorted(CONFIGS.glob('ghm_cwap*/*.py')), ids=lambda p: p.stem
)
def test_every_file_trains_what_its_folder_says(path):
    found = values_of(Config.fromfile(str(path)))
    assert found == {**PAPER, **CHANGED[path.parent.name]}


@pytest.mark.parametrize('classes', [10, 100])
def test_environment_switches_to_class_folders(classes, monkeypatch, tmp_path):
    monkeypatch.setenv(f'CIFAR{classes}_FOLDER', str(tmp_path))
    cfg = Config.fromfile(
        str(CONFIGS / f'ghm_cwap/resnet32_cifar{classes}_lt_if100.py')
    )
    train = cfg.train_dataloader.dataset.dataset
    assert train.type == 'InMemoryImageFolder'
    assert train.data_root == f'{tmp_path}/train'
    assert cfg.test_dataloader.dataset.data_root == f'{tmp_path}/test'


@pytest.mark.slow
def test_real_images_give_the_published_sizes(cifar10_folder, monkeypatch):
    monkeypatch.setenv('CIFAR10_FOLDER', str(cifar10_folder))
    totals = {10: 20431, 100: 12406, 500: 10011}
    for factor, total in totals.items():
        cfg = Config.fromfile(
            str(CONFIGS / f'softmax/resnet32_cifar10_lt_if{factor}.py')
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            data = DATASETS.build(cfg.train_dataloader.dataset)
        assert len(data) == total
        sample = data[0]
        assert sample['inputs'].shape == (3, 32, 32)


def test_pixels_are_normalised_as_in_the_sources():
    cifar = [125.307, 122.961, 113.8575], [51.5865, 50.847, 51.255]
    expected = {
        # Cao et al. 2019 take CIFAR-10's for both.
        'resnet32_cifar10_lt': cifar,
        'resnet32_cifar100_lt': cifar,
        'resnet32_cifar100_lt_decoded': cifar,
        # Kang et al. 2020: 0.466, 0.471, 0.380 and 0.195, 0.194, 0.192.
        'resnet50_inat2018': (
            [118.83, 120.105, 96.9],
            [49.725, 49.47, 48.96],
        ),
        'resnet50_imagenet_lt': (
            [123.675, 116.28, 103.53],
            [58.395, 57.12, 57.375],
        ),
    }
    for task, (means, deviations) in expected.items():
        pixels = compose('softmax', task).data_preprocessor
        assert (pixels.mean, pixels.std) == (means, deviations), task
