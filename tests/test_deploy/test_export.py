"""Exported files, run by their own runtimes."""

import json

import numpy as np
import pytest
import torch

from mmghm.deploy import export as export_module
from mmghm.deploy.export import export
from mmghm.deploy.images import ImageReader, find_images, read_images
from mmghm.deploy.load import load_deployed
from mmghm.deploy.predict import batch_logits
from mmghm.utils.errors import UserError

from ..conftest import run_command

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
            batch_logits(exported, batch), batch_logits(model, batch), atol=1e-4
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
