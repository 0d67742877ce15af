"""Exported files, run by their own runtimes."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image
from safetensors.torch import save_file

from mmghm.deploy import export as export_module
from mmghm.deploy.export import export
from mmghm.deploy.images import ImageReader, find_images, read_images
from mmghm.deploy.load import load_deployed, pipeline_steps
from mmghm.deploy.network import Classifier
from mmghm.deploy.publish import inference_weights, write_sums
from mmghm.utils.errors import UserError

from ..conftest import ROOT, run_command

pytestmark = pytest.mark.slow


def batches(model, photos, size=50):
    reader = ImageReader(model.steps)
    for batch in read_images(find_images([str(photos)]), reader, size, 0):
        yield from batch.images.values()


def test_onnx_agrees_at_any_batch_size(published, photos, tmp_path):
    pytest.importorskip('onnxruntime')
    model = load_deployed(str(published))
    out = tmp_path / 'digits.onnx'
    parity = export(model, out, 'onnx', batches(model, photos))
    assert parity.images == 367
    assert parity.difference < 1e-4 and parity.equal_top1 == 1
    exported = load_deployed(str(out))
    assert exported.classes == model.classes
    assert exported.calibration == model.calibration
    reader = ImageReader(exported.steps)
    for size in (1, 7):
        batch = next(read_images(find_images([str(photos)]), reader, size, 0))
        np.testing.assert_allclose(
            batch.logits(exported.logits, 10),
            batch.logits(model.logits, 10),
            atol=1e-4,
        )
    with pytest.raises(UserError, match='exists'):
        export(model, out, 'onnx', batches(model, photos))
    with pytest.raises(UserError, match='exported model already'):
        export(exported, tmp_path / 'b.onnx', 'onnx', iter([]))


def test_torch_export(published, photos, tmp_path):
    model = load_deployed(str(published))
    out = tmp_path / 'digits.pt2'
    assert export(model, out, 'torch', batches(model, photos)).difference < 1e-4
    extra = {'mmghm': ''}
    program = torch.export.load(str(out), extra_files=extra).module()
    assert program(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert json.loads(extra['mmghm'])['classes'] == model.classes


def test_a_difference_is_an_error_and_leaves_no_file(
    published, photos, tmp_path, monkeypatch
):
    model = load_deployed(str(published))
    monkeypatch.setattr(
        export_module,
        '_runner',
        lambda path, format: lambda images: model.logits(images) + 0.01,
    )
    with pytest.raises(UserError, match=r'differs from PyTorch by 0\.01'):
        export(model, tmp_path / 'd.pt2', 'torch', batches(model, photos))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match='needs an image'):
        export(model, tmp_path / 'd.pt2', 'torch', iter([]))


@pytest.fixture(scope='module')
def photographs(published, tmp_path_factory):
    """A network for 32 pixels as own_data has it, and photographs."""
    folder = tmp_path_factory.mktemp('own')
    random = np.random.default_rng(0)
    for number in range(60):
        height, width = random.integers(30, 90, 2)
        noise = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((width, height))
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        name = f'{number}.' + ('jpg', 'png')[number % 2]
        image.save(folder / name, exif=exif)
    shutil.copytree(published, folder / 'published')
    path = folder / 'published/config.json'
    settings = json.loads(path.read_text())
    settings['test_dataloader']['dataset']['pipeline'] = [
        dict(type='LoadCheckedImage'),
        dict(type='ResizeEdge', scale=round(32 * 8 / 7), edge='short'),
        dict(type='CenterCrop', crop_size=32),
        dict(type='PackInputs'),
    ]
    colour = dict(type='ClsDataPreprocessor', to_rgb=True)
    colour.update(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 55.0])
    settings['model']['data_preprocessor'] = colour
    settings['model']['backbone']['in_channels'] = 3
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(ConfigDict(settings['model'])).eval()
    # Scores of all classes alike, so that each is the first for some image.
    reader = ImageReader(pipeline_steps(settings))
    found = find_images([str(folder)])
    (batch,) = read_images(found, reader, 60, 0)
    network = Classifier(model, takes_bgr=True)
    layer = model.head.fc
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
        scores = network(next(iter(batch.images.values())))
        layer.weight /= scores.std(0)[:, None]
        layer.bias.copy_((layer.bias - scores.mean(0)) / scores.std(0))
    weights = inference_weights(model)
    save_file(weights, folder / 'published/model.safetensors')
    path.write_text(json.dumps(settings))
    write_sums(folder / 'published')
    return folder


def test_the_pages_lines_predict_what_predict_does(
    photographs, tmp_path, monkeypatch
):
    """The lines of docs/use.md, as they stand there."""
    pytest.importorskip('onnxruntime')
    for command in (
        ('export', photographs / 'published', '--out', 'photos.onnx'),
        ('predict', 'photos.onnx', photographs, '--out', 'predictions.csv'),
        ('predict', photographs / 'published', photographs, '--out', 'b.csv'),
    ):
        status, printed = run_command(*command, cwd=tmp_path)
        assert status == 0, printed
    page = (ROOT / 'docs/use.md').read_text()
    (lines,) = (
        block
        for block in re.findall('```python\n(.*?)```', page, re.S)
        if 'onnxruntime' in block
    )
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(lines, scope)
    found = {'a': [], 'b': []}
    for key, name in (('a', 'predictions.csv'), ('b', 'b.csv')):
        with open(name, newline='') as file:
            for row in csv.DictReader(file):
                found[key].append(row['label'])
                assert scope['classify'](row['path']) == row['label']
    assert found['a'] == found['b'] and len(found['a']) == 60
    assert len(set(found['a'])) > 5
    about = scope['about']
    assert about['preparation'] == [
        dict(
            type='LoadImageFromFile',
            color_type='color',
            imdecode_backend='cv2',
            value_range=None,
            turned_by_exif=True,
        ),
        dict(
            type='ResizeEdge',
            scale=37,
            edge='short',
            backend='cv2',
            interpolation='bilinear',
            antialias=False,
        ),
        dict(
            type='CenterCrop',
            crop_size=32,
            auto_pad=False,
            pad_cfg=dict(type='Pad'),
            clip_object_border=True,
        ),
    ]
    assert about['input']['mean'] == [120, 110, 100]
    assert about['input']['channels'] == 'RGB'
    assert about['input']['shape'] == ['batch', 3, 32, 32]


@pytest.mark.parametrize(
    'change',
    [
        lambda held: held['steps'].insert(0, dict(type='eval')),
        lambda held: held['steps'].insert(0, dict(type='os.system')),
        lambda held: held['steps'][0].update(_scope_='hostile_module'),
        lambda held: held['steps'][0].update(backend_args='http://a/b'),
        lambda held: held['classes'].pop(),
        lambda held: held['calibration'].update(temperature='1'),
        lambda held: held.pop('steps'),
    ],
)
def test_what_an_onnx_file_says_of_itself_is_data(published, tmp_path, change):
    onnx = pytest.importorskip('onnx')
    status, printed = run_command(
        'export', published, '--out', 'digits.onnx', cwd=tmp_path
    )
    assert status == 0 and 'On 64 generated images' in printed, printed
    path = tmp_path / 'digits.onnx'
    load_deployed(str(path))
    model = onnx.load(path)
    (held,) = (p for p in model.metadata_props if p.key == 'mmghm')
    content = json.loads(held.value)
    change(content)
    held.value = json.dumps(content)
    onnx.save(model, path)
    with pytest.raises(UserError, match='no model of `export`'):
        load_deployed(str(path))


def test_other_onnx_files_are_refused(tmp_path):
    pytest.importorskip('onnxruntime')
    (tmp_path / 'a.onnx').write_bytes(b'no onnx')
    with pytest.raises(UserError, match='no model of `export`'):
        load_deployed(str(tmp_path / 'a.onnx'))
