"""What cannot be used is told in a line, and the rest goes on."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmghm.datasets.prepare.archives import ArchiveError, unpack
from mmghm.datasets.transforms import LoadCheckedImage
from study.saved import load_loss


@pytest.mark.parametrize(
    'content',
    [
        [1, 2],
        dict(state_dict=5, meta={}),
        dict(state_dict={'head.loss.counts': torch.ones(3)}, meta={}),
        dict(state_dict={'l.finished_edges': torch.ones(3)}, meta={}),
        dict(
            state_dict={
                'l.finished_edges': torch.ones(3),
                'l.counts': torch.ones(2, 2),
            },
            meta={},
        ),
    ],
)
def test_checkpoints_without_histograms(tmp_path, content):
    path = tmp_path / 'odd.pth'
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'odd\.pth'):
        load_loss(path)


@pytest.mark.parametrize('kind', ['encrypted', 'unknown', 'empty', 'nothing'])
def test_archives_that_cannot_be_unpacked(tmp_path, kind):
    path, folder = tmp_path / 'set.zip', tmp_path / 'out'
    with zipfile.ZipFile(path, 'w') as archive:
        if kind != 'empty':
            archive.writestr('a.txt', 'hello')
    content = bytearray(path.read_bytes())
    for start, flags, method in (b'PK\3\4', 6, 8), (b'PK\1\2', 8, 10):
        place = content.find(start)
        if kind == 'encrypted':
            content[place + flags] |= 1
        if kind == 'unknown':
            content[place + method] = 99
    path.write_bytes(b'' if kind == 'nothing' else content)
    with pytest.raises(ArchiveError, match=r'set\.zip') as caught:
        unpack(str(path), str(folder))
    assert '\n' not in str(caught.value)
    assert not list(folder.iterdir())


@pytest.mark.parametrize('whole', [True, False])
def test_an_image_of_absurd_size_is_a_broken_image(tmp_path, whole):
    buffer = io.BytesIO()
    Image.new('L', (8, 8)).save(buffer, 'PNG')
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack('>II', 60_000, 60_000)
    content[29:33] = struct.pack('>I', zlib.crc32(bytes(content[12:29])))
    path = tmp_path / 'bomb.png'
    # Pillow looks at one that seems cut off, OpenCV at the other.
    path.write_bytes(content if whole else content[:-12])
    info = dict(img_path=str(path), source='train.txt, line 7')
    with pytest.raises(ValueError, match=r'bomb\.png \(train.txt, line 7\)'):
        LoadCheckedImage()(info)
    skipping = LoadCheckedImage(ignore_empty=True)
    assert skipping(info) is None and skipping.num_skipped == 1


NAMES = [
    r'price_$5_to_$10',
    '<b>&amp;',
    r'\frac{',
    '$x^',
    '\n',
    '日本',
    '$' * 99,
]


@pytest.mark.slow
def test_names_are_no_markup_in_any_picture(digits_cfg):
    cfg = digits_cfg(max_epochs=1)
    names = [*NAMES, 'a', 'b', 'c']
    for loader in 'train_dataloader', 'val_dataloader', 'test_dataloader':
        data = cfg[loader].dataset
        data.get('dataset', data).metainfo = dict(classes=names)
    cfg.custom_hooks.append(dict(type='LongTailVisualizationHook', interval=1))
    cfg.visualizer = dict(
        type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    Runner.from_cfg(Config(cfg.to_dict())).train()
    shown = {p.stem for p in Path(cfg.work_dir).rglob('vis_image/*.png')}
    assert {'long_tail_classes_0', 'long_tail_groups_1'} <= shown


def test_a_picture_that_fails_is_a_warning(digits_cfg, monkeypatch):
    def fail(*_):
        raise RuntimeError('no canvas')

    for name in (
        'mmghm.visualization.distribution.draw_class_distribution',
        'mmghm.visualization.distribution.draw_group_accuracy',
        'mmghm.visualization.histograms.draw_histograms',
    ):
        monkeypatch.setattr(name, fail)
    cfg = digits_cfg(max_epochs=1)
    cfg.custom_hooks.append(dict(type='LongTailVisualizationHook', interval=1))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 1
    (log,) = Path(cfg.work_dir).rglob('*.log')
    for name in 'classes', 'histograms', 'groups':
        assert f'No picture long_tail_{name}: ' in log.read_text()
