"""Converters against a local server with miniatures, broken ones among them."""

import hashlib
import io
import json
import sys
import tarfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler

import cv2
import numpy as np
import pytest

from mmghm.datasets import ImageList, LongTailDataset
from mmghm.datasets.prepare.archives import Archive, ArchiveError
from mmghm.datasets.prepare.reference_sets import (
    REFERENCE_SETS,
    ReferenceSet,
    ReferenceSplit,
    counts_hash,
    verify,
)
from mmghm.utils.errors import UserError

from ..conftest import ROOT, load_tool, run_program


@pytest.fixture
def tool():
    return load_tool('dataset_converters/download.py')


def pack(*names, hostile=False):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode='w:gz') as archive:
        for name in names:
            info = tarfile.TarInfo(f'../{name}' if hostile else name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b'jpg'))
    return content.getvalue()


TRAIN = [('train/a/0.jpg', 0), ('train/a/1.jpg', 0), ('train/b/2.jpg', 1)]
VAL = [('val/a/3.jpg', 0), ('val/b/4.jpg', 1)]
TEST = [('val/a/5.jpg', 0), ('val/b/6.jpg', 1)]


def lines(images):
    return ''.join(f'{path} {label}\n' for path, label in images)


@pytest.fixture
def mini(tool, tmp_path, monkeypatch, serve):
    """Places-LT with seven images, behind HTTP."""
    served = tmp_path / 'served'
    served.mkdir()
    images = [f'places365_standard/{n}' for n, _ in TRAIN + VAL + TEST]
    (served / 'images.tar.gz').write_bytes(pack(*images))
    splits = {'train': TRAIN, 'val': VAL, 'test': TEST}
    for part, listed in splits.items():
        (served / f'Places_LT_{part}.txt').write_text(lines(listed))

    url = serve(partial(SimpleHTTPRequestHandler, directory=str(served)))
    content = (served / 'images.tar.gz').read_bytes()
    archives = [
        Archive(
            f'{url}/images.tar.gz',
            hashlib.md5(content).hexdigest(),
            'places365_standard',
        ),
        *(
            Archive(f'{url}/Places_LT_{p}.txt', '', f'Places_LT_{p}.txt')
            for p in splits
        ),
    ]
    monkeypatch.setitem(tool.ARCHIVES, 'places_lt', archives)
    known = REFERENCE_SETS['places_lt']
    sizes = [(3, 2, 1), (2, 1, 1), (2, 1, 1)]
    smaller = [
        replace(part, images=n, classes=2, largest=most, smallest=least)
        for part, (n, most, least) in zip(known.splits, sizes)
    ]
    smaller[0] = replace(smaller[0], counts=counts_hash(np.array([1, 2])))
    monkeypatch.setitem(
        tool.REFERENCE_SETS,
        'places_lt',
        ReferenceSet(known.folder, smaller, counts_hash(np.array([3, 4]))),
    )
    return served


@pytest.fixture
def download(tool, mini, tmp_path, monkeypatch):
    """Call the tool for the miniature."""

    def main(*options):
        data_root = str(tmp_path / 'data')
        args = ['download.py', 'places_lt', '--data-root', data_root, *options]
        monkeypatch.setattr(sys, 'argv', args)
        tool.main(tool.parse_args())

    return main


def test_downloads_and_verifies(download, mini, capsys):
    with pytest.raises(UserError, match=r'not complete in .*Places_LT_train'):
        download('--verify')
    download()
    printed = capsys.readouterr().out
    assert 'is as it is known' in printed
    # The manifest's hash is that of the list's lines, in their order.
    expected = hashlib.sha256(lines(TRAIN).rstrip().encode()).hexdigest()
    assert expected[:16] in printed
    # A second time nothing is fetched.
    for path in mini.iterdir():
        path.unlink()
    download()


def test_what_differs_is_named(download, tmp_path, capsys):
    download()
    folder = tmp_path / 'data/places365_standard'
    (folder / 'val/a/3.jpg').unlink()
    (folder / 'Places_LT_train.txt').write_text(lines(TRAIN[1:]))
    capsys.readouterr()
    with pytest.raises(UserError, match='is not the set that is known'):
        download('--verify')
    printed = ' '.join(capsys.readouterr().out.split())
    for fault in (
        'train: images: 2, known is 3',
        'train: images of the largest class: 1, known is 2',
        'train: hash of the class sizes',
        'val: 1 files are missing, the first is',
        'test: the class sizes of all splits together differ',
    ):
        assert fault in printed
    (folder / 'Places_LT_train.txt').write_text(lines(TRAIN))
    download('--verify', '--lists-only')


@pytest.mark.parametrize(
    'spoil, match',
    [
        (lambda content: content[:-20], 'is published'),
        (lambda content: pack('evil', hostile=True), 'is published'),
    ],
)
def test_broken_archives_are_refused(download, mini, tmp_path, spoil, match):
    path = mini / 'images.tar.gz'
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ArchiveError, match=match):
        download()
    assert not (tmp_path / 'evil').exists()
    names = [path.name for path in (tmp_path / 'data').iterdir()]
    assert all(name.startswith('.') for name in names)


def test_a_hostile_archive_without_checksum_is_refused(
    download, tool, mini, tmp_path
):
    (mini / 'images.tar.gz').write_bytes(pack('evil', hostile=True))
    archives = tool.ARCHIVES['places_lt']
    archives[0] = replace(archives[0], md5='')
    with pytest.raises(ArchiveError, match='evil'):
        download()
    assert not (tmp_path / 'evil').exists()


def test_what_is_known_agrees_with_itself(tool):
    assert set(tool.ARCHIVES) == set(REFERENCE_SETS)
    for reference in REFERENCE_SETS.values():
        for part in reference.splits:
            assert part.smallest * part.classes <= part.images
            assert part.images <= (part.largest or 1e9) * part.classes


SHARED = ROOT.parent / 'shared/data'


@pytest.mark.skipif(
    not SHARED.is_dir(), reason='the real class sizes are not here'
)
def test_real_class_sizes_have_the_known_hashes():
    def counts(name):
        return np.array(json.loads((SHARED / name).read_text())['counts'])

    imagenet = counts('imagenet_lt_train_counts.json')
    assert (
        counts_hash(imagenet) == REFERENCE_SETS['imagenet_lt'].splits[0].counts
    )
    inat = counts('inat2017_trainval_counts.json')
    assert counts_hash(inat) == REFERENCE_SETS['inat2017'].union_counts


@pytest.mark.skipif(
    not SHARED.is_dir(), reason='the real class sizes are not here'
)
def test_a_list_with_the_real_class_sizes_is_known(tmp_path):
    path = SHARED / 'imagenet_lt_train_counts.json'
    sizes = json.loads(path.read_text())['counts']
    with open(tmp_path / 'ImageNet_LT_train.txt', 'w') as file:
        for label, size in enumerate(sizes):
            file.writelines(
                f'train/{label}/{i}.jpg {label}\n' for i in range(size)
            )
    reference = REFERENCE_SETS['imagenet_lt']
    train = ReferenceSet(reference.folder, reference.splits[:1])
    (report,) = verify(train, str(tmp_path), check_files=False)
    assert report.faults == []


def test_a_part_of_unknown_sizes(tmp_path):
    (tmp_path / 'a.txt').write_text('x 0\n')
    part = ReferenceSplit(
        'val', dict(type='ImageList', ann_file='a.txt'), 1, 2, 0, 0
    )
    (report,) = verify(ReferenceSet('', [part]), str(tmp_path), False)
    assert report.faults == []


def make_list(*args):
    tool = 'tools/dataset_converters/make_list.py'
    return run_program(tool, *args, cwd=ROOT)


def test_lists_of_class_folders(tmp_path):
    for name in ('ant/a b.jpg', 'ant/c.jpg', 'wolf/d.jpg'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((2, 2, 3), np.uint8))
    status, printed = make_list(tmp_path / 'photos', tmp_path / 'train.txt')
    assert status == 0, printed
    assert 'lists 3 images of 2 classes, 2 to 1 a class' in printed
    listed = (tmp_path / 'train.txt').read_text()
    assert listed == 'ant/a b.jpg 0\nant/c.jpg 0\nwolf/d.jpg 1\n'
    about = json.loads((tmp_path / 'train.json').read_text())
    assert about['classes'] == ['ant', 'wolf']
    data = ImageList(
        str(tmp_path / 'train.txt'), str(tmp_path / 'photos'), pipeline=[]
    )
    assert data.get_gt_labels().tolist() == [0, 0, 1]
    # The list is the same subset.
    again = LongTailDataset(data, profile='none').manifest()
    assert about['sha256'] == again['sha256']


def test_images_without_files_make_no_list(tmp_path):
    status, printed = make_list(
        'ghm_cwap/resnet8_digits_lt', tmp_path / 'a.txt'
    )
    assert status == 2 and 'are no files' in printed
