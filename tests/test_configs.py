import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import DATASETS, DefaultScope

from mmghm.cells import compose

from .conftest import CONFIGS


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


def test_model_index_lists_what_exists():
    index = load(CONFIGS.parent / 'model-index.yml')
    assert len(index['Import']) == len(list(CONFIGS.glob('*/metafile.yml')))
    for path in index['Import']:
        meta = load(CONFIGS.parent / path)
        names = {c['Name'] for c in meta['Collections']}
        for collection in meta['Collections']:
            assert (CONFIGS.parent / collection['README']).is_file()
        for model in meta['Models']:
            assert (CONFIGS.parent / model['Config']).is_file()
            assert model['In Collection'] in names


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
