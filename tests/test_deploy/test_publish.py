"""Published folders: what is in them, and who can read them."""

import json
import os

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain import ImageClassificationInferencer, get_model
from mmpretrain.apis import init_model
from safetensors.torch import load_file
from torch import nn

from mmghm.deploy.calibration import calibrate, stated_prior
from mmghm.deploy.labelled import labelled_images
from mmghm.deploy.load import load_deployed, read_training
from mmghm.deploy.network import (
    Classifier,
    dataset_logits,
    innermost,
    unaugmented_loader,
)
from mmghm.deploy.publish import calibration_loader
from mmghm.engine.configs import load_config
from mmghm.losses import SoftmaxFocalLoss
from mmghm.utils.errors import UserError

from ..conftest import run_command
from .conftest import publish


def files_of(photos):
    return sorted(map(str, photos.rglob('*.png')))


def test_the_stock_inferencer_reads_it(published, photos, trained):
    """MMPretrain's own functions, and nothing of ours but the network."""
    config, weights = published / 'config.py', published / 'model.pth'
    paths = files_of(photos)[::20]
    inferencer = ImageClassificationInferencer(
        str(config), pretrained=str(weights)
    )
    found = inferencer(paths)
    # As the training's own test pipeline predicts.
    cfg = Config.fromfile(trained[0])
    model = read_training(cfg, trained[1], False).model
    logits = dataset_logits(model, cfg.test_dataloader, '')[0]
    places = [int(path.rpartition('/')[2][:-4]) for path in paths]
    expected = torch.from_numpy(logits).softmax(1).numpy()[places]
    np.testing.assert_allclose(
        [r['pred_scores'] for r in found], expected, atol=1e-5
    )
    assert [r['pred_class'] for r in found] == [
        str(number) for number in expected.argmax(1)
    ]
    for load in (init_model, get_model):
        assert load(str(config), str(weights)).head.num_classes == 10


def test_the_pth_holds_tensors_alone(published):
    loaded = torch.load(published / 'model.pth', weights_only=True)
    kept = load_file(published / 'model.safetensors')
    assert set(loaded['state_dict']) == set(kept)
    assert not any('loss' in name for name in kept)
    assert loaded['meta'] == {
        'dataset_meta': {'classes': [str(i) for i in range(10)]}
    }


@pytest.mark.slow
def test_its_weights_are_measured_like_a_checkpoint(
    published, trained, tmp_path
):
    before = sorted(published.iterdir())
    figures = []
    for weights in (trained[1], published / 'model.safetensors'):
        status, printed = run_command(
            *('test', trained[0], weights, '--prior', 'uniform'),
            *('--out', 'out.json', '--out-item', 'metrics'),
            *('--cfg-options', 'work_dir=tested'),
            # The paper's margin does not say which prior it trains toward.
            'model.head.loss.margin=balanced',
            cwd=tmp_path,
        )
        assert status == 0, printed
        figures.append(json.loads((tmp_path / 'out.json').read_text()))
    assert figures[0] == figures[1]
    # What --prior writes for the report lies beside a run, not in here.
    assert sorted(published.iterdir()) == before
    assert (tmp_path / 'tested/record/in_use.json').exists()


def test_what_it_says_of_itself(published):
    classes = json.loads((published / 'classes.json').read_text())
    # 143 down to 7, a fifth held out.
    assert classes[0] == dict(name='0', train_images=114, group='many')
    assert classes[9]['group'] == 'rare' and classes[9]['train_images'] == 6
    kept = json.loads((published / 'calibration.json').read_text())
    # After six epochs it is still far from the uniform prior that it states.
    assert kept['prior_from'].startswith('measured: proportional to')
    assert kept['trained_prior'][0] > 2 * kept['trained_prior'][9]
    assert 'held out' in kept['fitted_on']
    assert set(kept['figures']['as trained']) >= {'all', 'many', 'rare'}
    assert len({path.stat().st_mode for path in published.iterdir()}) == 1
    card = (published / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: mmpretrain')
    import yaml

    head = yaml.safe_load(card.split('---')[1])
    metrics = head['model-index'][0]['results'][0]['metrics']
    assert {m['name'] for m in metrics} >= {'macro top-1', 'rare top-1'}


def test_a_folder_is_not_overwritten_nor_half_written(trained, tmp_path):
    (tmp_path / 'there').mkdir()
    with pytest.raises(UserError, match='exists'):
        publish(*trained, tmp_path / 'there')
    assert [p.name for p in tmp_path.iterdir()] == ['there']


def test_averaged_weights_are_taken(digits_cfg, tmp_path):
    from mmghm.engine.launch import build_runner

    cfg = digits_cfg(max_epochs=2)
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    cfg.train_dataloader.dataset.holdout = 0.2
    cfg.dump(str(tmp_path / 'mine.py'))
    runner = build_runner(cfg)
    runner.train()
    ema = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    publish(
        str(tmp_path / 'mine.py'),
        f'{cfg.work_dir}/epoch_2.pth',
        tmp_path / 'out',
    )
    kept = load_file(tmp_path / 'out/model.safetensors')['head.fc.weight']
    averaged = ema.ema_model.module.state_dict()['head.fc.weight']
    assert torch.equal(kept, averaged)
    assert not torch.equal(kept, runner.model.head.fc.weight)


def test_adapters_are_merged():
    lora = pytest.importorskip('mmghm.models.backbones.lora_backbone')
    backbone = lora.LoRABackbone(
        module=dict(
            type='VisionTransformer',
            arch='deit-tiny',
            img_size=32,
            patch_size=16,
            out_type='cls_token',
        ),
        alpha=16,
        rank=4,
        drop_rate=0.1,
        targets=[dict(type='qkv'), dict(type='.*proj')],
    )
    for name, weight in backbone.named_parameters():
        if 'lora_up' in name:
            nn.init.normal_(weight, std=0.1)
    model = nn.Module()
    model.backbone = backbone.eval()
    images = torch.rand(2, 3, 32, 32)
    (expected,) = backbone(images)
    lora.merge_adapters(model)
    (merged,) = model.backbone(images)
    assert type(model.backbone).__name__ == 'VisionTransformer'
    assert not any('lora' in name for name in model.state_dict())
    torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)


def test_without_images_to_calibrate_on_nothing_is_made_up(trained):
    cfg = Config.fromfile(trained[0])
    training = read_training(cfg, trained[1], False)
    found = calibrate(
        training.model.head.loss_module, training.class_counts, None
    )
    assert found.temperature == 1 and not found.fitted_on
    focal = SoftmaxFocalLoss(10)
    prior, known = stated_prior(focal, training.class_counts)
    assert prior is None and 'SoftmaxFocalLoss' in known


def test_which_images_calibrate(trained):
    cfg = Config.fromfile(trained[0])
    loader, what = calibration_loader(cfg)
    assert loader.dataset.part == 'holdout' and 'held out' in what
    # Validation images that are the test images do not.
    cfg.train_dataloader.dataset.holdout = 0
    assert calibration_loader(cfg) == (None, '')
    cfg.val_dataloader.dataset.split = 'train'
    assert calibration_loader(cfg)[1] == 'validation images'


def test_train_images_as_they_are_tested_leave_the_config_as_it_is():
    cfg = load_config('softmax/resnet8_cifar10_lt_if100')
    before = cfg.to_dict()
    loader = unaugmented_loader(cfg, 'train_dataloader')
    steps = [step.type for step in innermost(loader.dataset).pipeline]
    assert steps == ['PackInputs'] and loader.batch_size == 500
    assert cfg.to_dict() == before


def test_a_head_without_class_scores_is_refused(trained):
    cfg = Config.fromfile(trained[0])
    model = read_training(cfg, trained[1], False).model
    model.head = nn.Identity()
    with pytest.raises(UserError, match='classification head'):
        Classifier(model, takes_bgr=False)


def edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text()))


HOSTILE = {
    'a call': lambda text: text + '\n__import__("os").system("touch HIT")\n',
    'a type of another package': lambda text: text.replace(
        "type='GlobalAveragePooling'", "type='os.system', command='touch HIT'"
    ),
    'a type that would be imported': lambda text: text.replace(
        "type='GlobalAveragePooling'", "type='hostile_module.Thing'"
    ),
    'a builtin as a type': lambda text: text.replace(
        "type='Resize'", "type='eval'"
    ),
    'an import': lambda text: text.replace("'mmghm'", "'antigravity'"),
    'a checkpoint to load': lambda text: text.replace(
        'depth=8', "depth=8, init_cfg=dict(type='Pretrained', checkpoint='x')"
    ),
    'no python': lambda text: text + '(',
    'nothing': lambda text: '',
}


@pytest.mark.parametrize('change', HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_config_is_not_run(published, tmp_path, change, monkeypatch):
    import shutil

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'hostile_module.py').write_text(
        "open('HIT', 'w').close()\nclass Thing: pass\n"
    )
    folder = tmp_path / 'model'
    shutil.copytree(published, folder)
    before = (folder / 'config.py').read_text()
    edit(folder, 'config.py', change)
    assert (folder / 'config.py').read_text() != before
    with pytest.raises(UserError, match='--trust-config'):
        load_deployed(str(folder))
    assert not (tmp_path / 'HIT').exists()


@pytest.mark.parametrize(
    'name, change',
    [
        ('calibration.json', lambda t: t.replace('"temperature": ', '"x": ')),
        (
            'calibration.json',
            lambda t: t.replace('"temperature": ', '"temperature": -'),
        ),
        ('calibration.json', lambda t: t[:100]),
        ('calibration.json', lambda t: t.replace('"risk"', '"rest"')),
        ('classes.json', lambda t: '[]'),
        ('classes.json', lambda t: t.replace('"name"', '"nom"')),
    ],
)
def test_a_damaged_folder_is_named(published, tmp_path, name, change):
    import shutil

    shutil.copytree(published, tmp_path / 'model')
    edit(tmp_path / 'model', name, change)
    with pytest.raises(UserError, match='damaged'):
        load_deployed(str(tmp_path / 'model'))


def test_damaged_or_foreign_weights_are_named(published, tmp_path):
    import shutil

    from safetensors.torch import save_file

    folder = tmp_path / 'model'
    shutil.copytree(published, folder)
    weights = load_file(folder / 'model.safetensors')
    weights.pop('head.fc.bias')
    save_file(weights, folder / 'model.safetensors')
    with pytest.raises(UserError, match=r'there is no head\.fc\.bias'):
        load_deployed(str(folder))
    content = (published / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(content[:1000])
    with pytest.raises(UserError, match=r'model\.safetensors'):
        load_deployed(str(folder))
    (folder / 'model.safetensors').unlink()
    with pytest.raises(UserError, match=r'model\.safetensors'):
        load_deployed(str(folder))
    (folder / 'classes.json').unlink()
    with pytest.raises(UserError, match=r'lacks classes\.json'):
        load_deployed(str(folder))


def test_labelled_images_of_every_layout(photos, tmp_path):
    classes = [str(number) for number in range(10)]
    paths, labels = labelled_images(str(photos), classes)
    assert len(paths) == 367 and np.bincount(labels).min() > 20
    for layout, line in (('table.csv', '{},{}'), ('list.txt', '{} {}')):
        lines = ['path,label'] if layout.endswith('csv') else []
        lines += [
            line.format(os.path.relpath(path, photos), label)
            for path, label in zip(paths, labels)
        ]
        (photos / layout).write_text('\n'.join(lines) + '\n')
        found = labelled_images(str(photos / layout), classes)
        (photos / layout).unlink()
        assert found[0] == paths and found[1].tolist() == labels.tolist()
    # A class may have none; a folder that is no class is a mistake.
    (tmp_path / 'some').mkdir()
    (tmp_path / 'some/3').symlink_to(photos / '3')
    assert set(labelled_images(str(tmp_path / 'some'), classes)[1]) == {3}
    (tmp_path / 'some/cat').mkdir()
    with pytest.raises(UserError, match='none of the 10 classes: cat'):
        labelled_images(str(tmp_path / 'some'), classes)
    (tmp_path / 'none').mkdir()
    for missing in ('none', 'nowhere'):
        with pytest.raises(UserError, match=missing):
            labelled_images(str(tmp_path / missing), classes)


def test_a_checkpoint_of_another_config_is_named(trained):
    cfg = Config.fromfile(trained[0])
    cfg.model.head.num_classes = 11
    with pytest.raises(UserError, match='trained with another config'):
        read_training(cfg, trained[1], False)
