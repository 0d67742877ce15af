"""Published folders: what is in them, and who can read them."""

import itertools
import json
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import RepeatDataset
from mmpretrain import ImageClassificationInferencer, get_model
from mmpretrain.apis import init_model
from mmpretrain.datasets import CustomDataset
from safetensors.torch import load_file, save_file
from torch import nn

from mmghm.datasets import Digits
from mmghm.datasets.image_lists import image_list_digest
from mmghm.deploy.calibration import calibrate, stated_prior
from mmghm.deploy.held_out import (
    calibration_loader,
    check_apart,
    check_recorded,
    labelled_images,
)
from mmghm.deploy.load import load_deployed, read_training
from mmghm.deploy.network import (
    Classifier,
    dataset_logits,
    innermost,
    unaugmented_loader,
)
from mmghm.deploy.publish import inference_config, write_folder, write_sums
from mmghm.deploy.read_back import check_folder
from mmghm.engine import RunRecordHook
from mmghm.engine.configs import load_config
from mmghm.losses import SoftmaxFocalLoss
from mmghm.utils.errors import UserError

from ..conftest import run_command
from .conftest import publish


def files_of(photos):
    return sorted(map(str, photos.rglob('*.png')))


def test_the_stock_inferencer_reads_it(published, photos, trained):
    """MMPretrain's own functions, and nothing of ours but the network.

    They take the config and not its path, if that does not end in .py.
    """
    config, weights = published / 'config.json', published / 'model.pth'
    paths = files_of(photos)[::20]
    settings = Config.fromfile(str(config))
    inferencer = ImageClassificationInferencer(
        settings, pretrained=str(weights)
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
        assert load(settings, str(weights)).head.num_classes == 10


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
    lora = pytest.importorskip(
        'mmghm.models.backbones.lora_backbone', exc_type=ImportError
    )
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


def test_decoded_images_keep_their_test_pipeline(trained):
    cfg = Config.fromfile(trained[0])
    larger = dict(type='Resize', scale=(32, 32))
    cfg.test_dataloader.dataset.pipeline.insert(0, larger)
    training = read_training(cfg, trained[1], False)
    settings = inference_config(cfg, training.model)
    steps = settings['test_dataloader']['dataset']['pipeline']
    assert [s['type'] for s in steps][1:2] == ['Resize']
    assert steps[-2:] == [larger, dict(type='PackInputs')]


def test_which_images_calibrate(trained):
    cfg = Config.fromfile(trained[0])
    loader, what = calibration_loader(cfg)
    assert loader.dataset.part == 'holdout'
    assert what == 'images held out of the train set'
    # Validation images that are the test images do not.
    cfg.train_dataloader.dataset.holdout = 0
    assert calibration_loader(cfg) == (None, '')
    cfg.val_dataloader.dataset.split = 'train'
    assert calibration_loader(cfg)[1] == 'validation images'
    # As a folder with train/ alone has it.
    cfg = Config.fromfile(trained[0])
    cfg.test_dataloader.dataset = loader.dataset
    assert (
        calibration_loader(cfg)[1] == f'{what}, which are the test images too'
    )


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


@pytest.fixture
def folder(published, tmp_path):
    """A copy of a published folder."""
    shutil.copytree(published, tmp_path / 'model')
    return tmp_path / 'model'


def edit(folder, name, change):
    """Change what a JSON file holds, and hash it as its author would."""
    path = folder / name
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))
    write_sums(folder)


def head(**settings):
    return lambda content: content['model']['head'].update(settings)


def backbone(**settings):
    return lambda content: content['model'].update(backbone=settings)


def step(**settings):
    return lambda content: content['test_dataloader']['dataset'][
        'pipeline'
    ].insert(1, settings)


HOSTILE = {
    'a scope that is imported': head(_scope_='hostile_module'),
    'an address that a head reads': head(
        type='VQAGenerationHead', answer_list_path='http://127.0.0.1:9/x.pkl'
    ),
    'a file that a head reads': head(
        type='ArcFaceClsHead', margins='/etc/passwd.txt'
    ),
    'a type of another package': head(type='os.system', command='touch HIT'),
    'a type that would be imported': head(type='hostile_module.Thing'),
    'weights to load': backbone(
        type='ResNet',
        depth=18,
        init_cfg=dict(type='Pretrained', checkpoint='x'),
    ),
    'a checkpoint of timm': backbone(
        type='TIMMBackbone', model_name='resnet18', checkpoint_path='x.pth'
    ),
    'weights of timm': backbone(
        type='TIMMBackbone', model_name='resnet18', pretrained=True
    ),
    'a repository of timm': backbone(
        type='TIMMBackbone', model_name='hf-hub:some/repo'
    ),
    'a classifier as a backbone': backbone(
        type='HuggingFaceClassifier', model_name='repo', trust_remote_code=True
    ),
    'a classifier inside an argument': backbone(
        type='ResNet',
        depth=18,
        norm_cfg=dict(type='HuggingFaceClassifier', model_name='repo'),
    ),
    'weights deep inside': backbone(
        type='ResNet', depth=18, norm_cfg=dict(eps=dict(pretrained='x'))
    ),
    'an argument that there is not': backbone(type='ResNet', depht=18),
    'another model': lambda content: content['model'].update(
        type='TimmClassifier', model_name='resnet18'
    ),
    'a builtin as a transform': step(type='eval', expression='1'),
    'a transform that builds others': step(
        type='Albumentations', transforms=[dict(type='os.system')]
    ),
    'an import': lambda content: content.update(
        custom_imports=dict(imports=['hostile_module'])
    ),
    'another setting': lambda content: content.update(load_from='x.pth'),
    'too many classes': head(num_classes=10**12),
    'too wide a layer': backbone(type='ResNet', depth=18, base_channels=10**12),
    'pixels that are no numbers': lambda content: content['model'][
        'data_preprocessor'
    ].update(mean=['x']),
    'no model': lambda content: content.pop('model') and None,
    'a list': lambda content: [content],
}


@pytest.mark.parametrize('change', HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_config_is_not_run(folder, change, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    monkeypatch.syspath_prepend(str(folder.parent))
    for name in ('hostile_module.py', 'hostile_module/registry.py'):
        path = folder.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("open('HIT', 'w').close()\nclass Thing: pass\n")
    load_deployed(str(folder))
    edit(folder, 'config.json', change)
    with pytest.raises(UserError, match='is damaged or not safe'):
        load_deployed(str(folder))
    assert not Path('HIT').exists()


HUGE = {
    'wide': backbone(type='ResNet', depth=18, base_channels=400),
    'deep': backbone(
        type='VisionTransformer', arch=dict(
            embed_dims=8, num_layers=10**6, num_heads=1,
            feedforward_channels=8,
        )
    ),
    'many positions': backbone(
        type='VisionTransformer', arch='base', img_size=10**5
    ),
    'a wide classifier': head(in_channels=10**6),
}  # fmt: skip


def peak_memory():
    status = Path('/proc/self/status').read_text()
    return 1024 * int(status.partition('VmHWM:')[2].split()[0])


@pytest.mark.parametrize('change', HUGE.values(), ids=HUGE)
def test_a_huge_network_is_refused_before_it_takes_memory(folder, change):
    load_deployed(str(folder))
    edit(folder, 'config.json', change)
    # The peak begins again.
    Path('/proc/self/clear_refs').write_text('5')
    before = peak_memory()
    with pytest.raises(UserError, match='is damaged or not safe') as caught:
        load_deployed(str(folder))
    assert peak_memory() - before < 300 * 2**20
    assert '\n' not in str(caught.value)


STRANGE = (
    *(None, True, -1, 0.5, 10**30, float('nan'), '', 'ResNet', '\0', [], [[]]),
    *([None, {}], {}, {'type': 'ResNet'}, {'a': {'b': 1}}),
)


def places(node, at=()):
    """Where something stands in what a JSON file holds."""
    yield at
    keys = node if isinstance(node, dict) else range(3)
    for key in keys if isinstance(node, (dict, list)) else ():
        if isinstance(node, dict) or key < len(node):
            yield from places(node[key], (*at, key))


@pytest.mark.parametrize(
    'name', ['config.json', 'classes.json', 'calibration.json']
)
def test_a_strangers_folder_never_ends_in_a_traceback(folder, name):
    """Every value of every file, replaced by strange ones, drawn at random."""
    draw = random.Random(0)
    whole = (folder / name).read_text()
    every = list(itertools.product(places(json.loads(whole)), STRANGE))
    refused = 0
    for at, value in draw.sample(every, 60):

        def change(content, at=at, value=value):
            if not at:
                return value
            for key in at[:-1]:
                content = content[key]
            content[at[-1]] = value

        (folder / name).write_text(whole)
        edit(folder, name, change)
        try:
            load_deployed(str(folder))
        except UserError as error:
            refused += 1
            assert '\n' not in str(error)
    assert refused > 20


def test_other_images_than_the_trainings_are_refused(trained, tmp_path):
    """A holdout that training did not have would be of train images."""
    options = dict(cwd=tmp_path)
    command = ('publish', *trained, tmp_path / 'out', '--no-test')
    for holdout in ('0', '0.3'):
        status, printed = run_command(
            *command,
            *('--cfg-options', f'train_dataloader.dataset.holdout={holdout}'),
            # Other images than those that training validated on.
            'val_dataloader.dataset.split=train',
            **options,
        )
        assert status == 2, printed
        assert 'had other images for train than the' in printed
        assert not (tmp_path / 'out').exists()
    record = json.loads(
        (Path(trained[1]).parent / 'record/run.json').read_text()
    )
    loaded = torch.load(trained[1], weights_only=False)
    assert loaded['meta']['images'] == record['images']
    assert {k: len(v) for k, v in record['images'].items()} == dict(
        train=1, val=1
    )
    status, printed = run_command(
        *('posthoc', *trained, '--methods', 'tau_norm', '--cfg-options'),
        'train_dataloader.dataset.holdout=0.3',
        **options,
    )
    assert status == 2 and 'had other images for train' in printed, printed
    # Made before trainings recorded it.
    loaded['meta'].pop('images')
    torch.save(loaded, tmp_path / 'old.pth')
    status, printed = run_command(
        *('posthoc', trained[0], tmp_path / 'old.pth', '--methods'),
        'tau_norm',
        **options,
    )
    assert status == 0, printed
    assert 'does not say which images its training had for train' in printed


def test_train_images_do_not_calibrate(photos):
    paths = files_of(photos)
    dataset = CustomDataset(data_prefix=str(photos), pipeline=[])
    check_apart(dataset, [])
    with pytest.raises(UserError, match=r'^2 of .* are train images, such as'):
        check_apart(dataset, paths[:2])


def test_a_resumed_training_remembers_what_it_saw():
    hook = RunRecordHook()
    runner = SimpleNamespace(_resume=True)
    seen = dict(train=['a' * 64])
    hook.after_load_checkpoint(runner, dict(meta=dict(images=seen)))
    hook._note_images('train', Digits(split='train'))
    digest = image_list_digest(Digits(split='train'))
    assert hook.images['train'] == sorted(['a' * 64, digest])
    with pytest.raises(UserError, match='had other images'):
        check_recorded('train', Digits(split='train'), hook.images, 'x.pth')
    check_recorded('train', Digits(split='train'), dict(train=[digest]), '')
    # What is repeated is the same images; fewer are others.
    repeated = RepeatDataset(Digits(split='train'), 3)
    assert image_list_digest(repeated) == digest
    assert image_list_digest(Digits(split='test')) != digest


def test_what_cannot_be_published_is_refused_at_once(published, tmp_path):
    settings = json.loads((published / 'config.json').read_text())
    settings['test_dataloader']['dataset']['pipeline'].insert(
        1, dict(type='GaussianBlur')
    )
    with pytest.raises(UserError, match="cannot be published: 'GaussianBlur'"):
        write_folder(
            tmp_path / 'out',
            settings,
            load_file(published / 'model.safetensors'),
            [str(i) for i in range(10)],
            load_deployed(str(published)).calibration,
            {},
        )
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_it_is_read_back_before_it_has_its_name(trained, tmp_path):
    status, printed = run_command(
        'publish', *trained, tmp_path / 'out', cwd=tmp_path
    )
    assert status == 0, printed
    settings = json.loads((tmp_path / 'out/config.json').read_text())
    cfg = Config.fromfile(trained[0])
    model = read_training(cfg, trained[1], False).model
    network = Classifier(model, takes_bgr=False)
    check_folder(tmp_path / 'out', network, settings)
    with torch.no_grad():
        model.head.fc.bias += 0.01
    with pytest.raises(UserError, match=r'differs .* by 0\.01 in a logit'):
        check_folder(tmp_path / 'out', network, settings)


def change_first(field, value):
    def change(content):
        content[field][0] = value

    return change


@pytest.mark.parametrize(
    'name, change',
    [
        ('calibration.json', lambda kept: kept.update(x=1)),
        ('calibration.json', lambda kept: kept.pop('temperature') and None),
        ('calibration.json', lambda kept: kept.update(temperature=-1)),
        ('calibration.json', lambda kept: kept.update(temperature='1.0')),
        ('calibration.json', lambda kept: kept.update(temperature=1e-300)),
        (
            'calibration.json',
            lambda kept: kept.update(
                answers=dict(
                    all=dict(threshold=[[1]], coverage=[[1]], risk=[[0]])
                )
            ),
        ),
        ('calibration.json', lambda kept: kept.update(temperature=10**400)),
        ('calibration.json', lambda kept: kept.update(temperature=True)),
        ('calibration.json', lambda kept: kept.update(answers=dict(all=1))),
        ('calibration.json', lambda kept: kept.update(prior_from=1)),
        ('calibration.json', lambda kept: kept['class_counts'].pop() and None),
        ('calibration.json', change_first('class_counts', 10**21)),
        ('calibration.json', change_first('class_counts', 1.5)),
        ('calibration.json', change_first('trained_prior', float('nan'))),
        ('calibration.json', lambda kept: [kept]),
        ('classes.json', lambda rows: rows.clear()),
        ('classes.json', lambda rows: rows.pop() and None),
        ('classes.json', lambda rows: rows[0].pop('name') and None),
        ('classes.json', lambda rows: rows[0].update(name='1')),
        ('classes.json', lambda rows: dict(rows=rows)),
    ],
)
def test_a_damaged_folder_is_named(folder, name, change):
    edit(folder, name, change)
    with pytest.raises(UserError, match='is damaged'):
        load_deployed(str(folder))


@pytest.mark.parametrize('text', ['', '{"a": ', '[' * 200_000, '\0'])
@pytest.mark.parametrize(
    'name', ['config.json', 'classes.json', 'calibration.json']
)
def test_files_that_are_no_json_are_named(folder, name, text):
    (folder / name).write_text(text)
    write_sums(folder)
    with pytest.raises(UserError, match=name):
        load_deployed(str(folder))


def test_files_are_those_that_were_published(folder):
    with open(folder / 'classes.json', 'a') as file:
        file.write(' ')
    with pytest.raises(UserError, match=r'classes\.json is not the file that'):
        load_deployed(str(folder))
    (folder / 'SHA256SUMS').unlink()
    with pytest.raises(UserError, match='it lacks SHA256SUMS'):
        load_deployed(str(folder))


def test_a_folder_of_0_2_is_told(folder):
    (folder / 'config.json').rename(folder / 'config.py')
    with pytest.raises(UserError, match=r'by mmghm 0\.2.*publish the model'):
        load_deployed(str(folder))


def test_damaged_or_foreign_weights_are_named(folder):
    path = folder / 'model.safetensors'
    content = path.read_bytes()
    weights = load_file(path)
    weights.pop('head.fc.bias')
    save_file(weights, path)
    write_sums(folder)
    with pytest.raises(UserError, match=r'there is no head\.fc\.bias'):
        load_deployed(str(folder))
    path.write_bytes(content[:1000])
    write_sums(folder)
    with pytest.raises(UserError, match=r'model\.safetensors'):
        load_deployed(str(folder))
    path.unlink()
    with pytest.raises(UserError, match=r'lacks model\.safetensors'):
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


@pytest.mark.slow
def test_images_of_ones_own_calibrate(trained, photos, tmp_path):
    def calibrated_on(images, out):
        options = ('--no-test', '--calibrate-on', images)
        return run_command('publish', *trained, out, *options, cwd=tmp_path)

    code, output = calibrated_on(photos, 'published')
    assert code == 0, output
    kept = json.loads((tmp_path / 'published/calibration.json').read_text())
    assert kept['fitted_on'] == f'the images of {photos.name}, 367 images'
    # Six epochs of training; chance is 10 %.
    assert 0.05 < kept['figures']['as trained']['all'] < 0.9
    (tmp_path / 'broken/3').mkdir(parents=True)
    (tmp_path / 'broken/3/a.png').write_bytes(b'no image')
    code, output = calibrated_on(tmp_path / 'broken', 'other')
    assert code == 2 and 'cannot read ' in output and 'a.png' in output
    assert not (tmp_path / 'other').exists()


def test_a_checkpoint_of_another_config_is_named(trained):
    cfg = Config.fromfile(trained[0])
    cfg.model.head.num_classes = 11
    with pytest.raises(UserError, match='trained with another config'):
        read_training(cfg, trained[1], False)
