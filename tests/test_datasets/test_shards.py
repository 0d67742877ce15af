"""Images in tar archives: on a disk, behind HTTP, in a cache of some size."""

import io
import json
import os
import re
import shutil
import tarfile
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from mmghm.datasets import ImageShards, LongTailDataset, ShardSampler
from mmghm.datasets.image_shards import shard_numbers
from mmghm.datasets.samplers.shard_sampler import shard_order
from mmghm.datasets.shards.backend import ShardBackend, split_address
from mmghm.datasets.shards.pack import index_shards

from ..conftest import run_program

TOOL = 'tools/dataset_converters/shards.py'
LOAD = dict(type='LoadCheckedImage', imdecode_backend='cv2')
LABELS = [0] * 12 + [1] * 6 + [2] * 3


def run(*args, code=0):
    status, printed = run_program(TOOL, *args)
    assert status == code, printed
    return printed


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images whose colour is their number, their list, and archives of them."""
    root = tmp_path_factory.mktemp('shards')
    for number in range(len(LABELS)):
        path = root / f'images/{number}.png'
        path.parent.mkdir(exist_ok=True)
        image = np.full((8, 8, 3), number, dtype=np.uint8)
        image[0, 0] = np.arange(3)
        cv2.imwrite(str(path), image)
    lines = [f'images/{i}.png {label}\n' for i, label in enumerate(LABELS)]
    (root / 'train.txt').write_text(''.join(lines))
    printed = run(
        *('make', root / 'train.txt', root / 'out', '--data-root', root),
        *('--shard-mb', 4e-4),
    )
    assert re.search(r'out/train\.txt lists 21 images in \d archives', printed)
    return root


def pixels(dataset):
    """Colour and label of each image, by colour."""
    found = [dataset[i] for i in range(len(dataset))]
    return sorted((int(f['img'][4, 4, 0]), f['gt_label']) for f in found)


def build(folder, **kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ImageShards(
            'train.txt', data_root=str(folder), pipeline=[LOAD], **kwargs
        )


def test_archives_hold_the_images(folder):
    data = build(folder / 'out')
    assert pixels(data) == list(enumerate(LABELS))
    # Mixed, so that an archive has several classes.
    shards = shard_numbers(data)
    assert len(set(data.get_gt_labels()[shards == 0])) > 1
    assert shards[0] == 0 and (np.diff(shards) >= 0).all() and shards[-1] > 2
    assert 'train.txt, line 1' in data[0]['source']
    tail = LongTailDataset(data, class_counts=[6, 3, 1])
    assert len(pixels(tail)) == 10


@pytest.mark.slow
def test_the_list_can_be_made_again(folder, tmp_path):
    shards = sorted((folder / 'out').glob('*.tar'))
    run('index', *shards, '--out', tmp_path / 'train.txt')
    listed = (tmp_path / 'train.txt').read_text()
    assert listed == (folder / 'out/train.txt').read_text()
    # The same images give the same archives.
    run(
        *('make', folder / 'train.txt', tmp_path / 'again'),
        *('--data-root', folder, '--shard-mb', 4e-4),
    )
    for shard in shards:
        again = tmp_path / 'again' / shard.name
        assert again.read_bytes() == shard.read_bytes()
    printed = run(
        *('make', folder / 'train.txt', tmp_path / 'again'),
        *('--data-root', folder),
        code=2,
    )
    assert 'exists already' in printed


@pytest.fixture
def server(folder, serve):
    """The archives behind HTTP, with ranges, and a count of the bytes sent."""

    class Handler(SimpleHTTPRequestHandler):
        requested = []
        cut = None
        ranges = True

        def log_message(self, *args):
            pass

        def do_GET(self):
            path = self.translate_path(self.path)
            try:
                with open(path, 'rb') as file:
                    content = file.read()
            except OSError:
                self.send_error(404)
                return
            wanted = self.headers.get('Range', '') if self.ranges else ''
            found = re.search(r'bytes=(\d+)-(\d+)?', wanted)
            start = int(found[1]) if found else 0
            stop = int(found[2]) + 1 if found and found[2] else len(content)
            body = content[start:stop]
            self.requested.append((self.path, start, len(body)))
            self.send_response(206 if found else 200)
            self.send_header('Accept-Ranges', 'bytes')
            self.send_header('Content-Length', str(len(body)))
            if found:
                place = f'bytes {start}-{start + len(body) - 1}/{len(content)}'
                self.send_header('Content-Range', place)
            self.end_headers()
            self.wfile.write(body[: self.cut])

    Handler.url = serve(partial(Handler, directory=str(folder / 'out')))
    return Handler


def test_single_images_are_read_over_http(folder, server):
    data = build(folder / 'out', shards=server.url)
    assert pixels(data) == list(enumerate(LABELS))
    # An image each, not an archive.
    assert len(server.requested) == len(LABELS)
    assert max(length for *_, length in server.requested) < 200


def test_archives_are_cached_and_make_room(folder, server, tmp_path):
    size = max(p.stat().st_size for p in (folder / 'out').glob('*.tar'))
    # The user's own are older, and larger than the cache may be.
    (tmp_path / 'cache/shards').mkdir(parents=True)
    foreign = [tmp_path / 'cache/thesis.tar', tmp_path / 'cache/shards/b.tar']
    load = dict(
        LOAD,
        backend_args=dict(
            backend='shard',
            cache_dir=str(tmp_path / 'cache'),
            cache_gb=2.5 * size / 1e9,
        ),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = ImageShards(
            'train.txt',
            data_root=str(folder / 'out'),
            shards=server.url,
            pipeline=[load],
        )
    number = shard_numbers(data).max() + 1
    assert number > 3
    assert data[0]
    for path in foreign:
        path.write_bytes(bytes(3 * size))
        os.utime(path, (0, 0))
    (tmp_path / 'cache/shards/folder').mkdir()
    assert pixels(data) == list(enumerate(LABELS))
    assert all(path.exists() for path in foreign)
    assert len({path for path, *_ in server.requested}) == number
    assert len(server.requested) == number
    kept = [
        p
        for p in (tmp_path / 'cache/shards').iterdir()
        if p.suffix == '.tar' and p not in foreign
    ]
    assert len(kept) < number
    assert sum(p.stat().st_size for p in kept) <= 2.5 * size
    # The last ones are there, the first is downloaded anew.
    data[len(data) - 1]
    assert len(server.requested) == number
    data[0]
    assert len(server.requested) == number + 1


def test_a_cut_off_download_is_no_shard(folder, server, tmp_path):
    data = build(folder / 'out')
    path = data[0]['img_path'].replace(
        f'shard://{folder / "out"}', server.url.replace('http', 'shard+http')
    )
    server.cut = 600
    with pytest.raises(OSError, match=r'ended|Payload'):
        ShardBackend(str(tmp_path), 1).get(path)
    assert not list(tmp_path.rglob('*.tar'))
    server.cut = None
    assert ShardBackend(str(tmp_path), 1).get(path).startswith(b'\x89PNG')
    with pytest.raises(OSError, match=r'does not fit .* raise cache_gb'):
        ShardBackend(str(tmp_path / 'small'), 1e-7).get(path)


@pytest.mark.parametrize(
    'damage', [lambda copy: copy[:100], lambda copy: bytes(len(copy))]
)
def test_a_damaged_copy_is_fetched_anew(folder, server, tmp_path, damage):
    data = build(folder / 'out')
    path = data[0]['img_path'].replace(
        f'shard://{folder / "out"}', server.url.replace('http', 'shard+http')
    )
    backend = ShardBackend(str(tmp_path), 1)
    image = backend.get(path)
    (copy,) = (tmp_path / 'shards').glob('*.tar')
    copy.write_bytes(damage(copy.read_bytes()))
    assert backend.get(path) == image


def test_a_shard_packed_anew_is_told_by_its_content(folder, tmp_path):
    data = build(folder / 'out')
    name = Path(data[0]['img_path'].split('#')[0]).name
    content = (folder / 'out' / name).read_bytes()
    # The same names and sizes in another order, as packing by another seed
    # gives: every label would be another image's.
    shutil.copytree(folder / 'out', tmp_path / 'out')
    for listed in data[0]['img_path'], data[1]['img_path']:
        assert name in listed
    (_, a, size, _), (_, b, _, _) = (
        split_address(data[i]['img_path']) for i in (0, 1)
    )
    swapped = bytearray(content)
    swapped[a : a + size] = content[b : b + size]
    (tmp_path / 'out' / name).write_bytes(swapped)
    with pytest.raises(ValueError, match=r'line 1\).*holds other bytes at'):
        build(tmp_path / 'out')[0]


def test_a_changed_shard_is_downloaded_anew(serve, tmp_path):
    (tmp_path / 'out').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'out'))
    url = serve(handler).replace('http', 'shard+http')
    for image in (b'old bytes', b'new bytes'):
        path = tar_of(tmp_path / 'out/a.tar', x__cls=b'1', y__jpg=image)
        # Modification times in HTTP are seconds.
        os.utime(path, (image[0], image[0]))
        crc = zlib.crc32(image)
        # What the next process does.
        backend = ShardBackend(str(tmp_path / 'cache'), 1)
        assert backend.get(f'{url}/a.tar#1536+9-{crc:08x}') == image


def test_a_server_without_ranges_needs_a_cache(folder, server, tmp_path):
    server.ranges = False
    with pytest.raises(ValueError, match='sends whole archives'):
        build(folder / 'out', shards=server.url)[0]


def test_what_is_wrong_is_named(folder, tmp_path):
    listed = (folder / 'out/train.txt').read_text().splitlines()
    (tmp_path / 'train.txt').write_text(f'{listed[0]}\nimages/1.png 0\n')
    with pytest.raises(ValueError, match='line 2: expected "SHARD#OFFSET'):
        build(tmp_path)
    (tmp_path / 'train.txt').write_text('a.tar#x+1 0\n')
    with pytest.raises(ValueError, match=r'line 1\): expected shard://SHARD#'):
        build(tmp_path)[0]
    (tmp_path / 'train.txt').write_text(f'{listed[0]}\n')
    with pytest.raises(ValueError, match=r'line 1\).*No such file'):
        build(tmp_path)[0]
    name = listed[0].split('#')[0]
    content = (folder / 'out' / name).read_bytes()
    (tmp_path / name).write_bytes(content[:550])
    with pytest.raises(ValueError, match='ends after 38 of the'):
        build(tmp_path)[0]
    with pytest.raises(ValueError, match="got 'ftps://host/x'"):
        build(tmp_path, shards='ftps://host/x')
    for address in ('a.tar#1+2-00000000', 'shard://a.tar', 'shard://a.tar#1+2'):
        with pytest.raises(ValueError, match='expected shard://'):
            split_address(address)
    with pytest.raises(ValueError, match='cache_gb must be above 0'):
        ShardBackend(cache_gb=0)


def tar_of(path, **members):
    with tarfile.open(path, 'w') as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace('__', '.'))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def test_labels_in_json(tmp_path):
    label = json.dumps(dict(species=7)).encode()
    path = tar_of(tmp_path / 'a.tar', x__json=label, x__jpg=b'abc', readme=b'')
    assert list(index_shards([path], 'species')) == ['a.tar#1536+3-352441c2 7']


@pytest.mark.parametrize(
    'members, key, match',
    [
        (dict(x__jpg=b'a'), '', "a.tar: there is no 'x.cls'"),
        (
            dict(x__jpg=b'a', x__cls=b'cat'),
            '',
            "'x.cls' holds no label .*cat",
        ),
        (dict(x__jpg=b'a', x__json=b'{}'), 'label', "'x.json' holds no label"),
        (dict(x__jpg=b'a', x__json=b'7'), 'label', "'x.json' holds no label"),
        (dict(x__jpg=b'a', x__cls=b'-1'), '', "'x.cls' holds no label .*-1"),
        (dict(x__jpg=b'a', x__cls=b'\xff'), '', "'x.cls' holds no label"),
        (dict(x__cls=b'1'), '', r'a\.tar holds no image \(\.jpg'),
        (
            dict(x__jpg=b'a', x__png=b'b', x__cls=b'1'),
            '',
            "'x.png' is a second image of 'x'",
        ),
    ],
)
def test_archives_without_labels_are_named(tmp_path, members, key, match):
    path = tar_of(tmp_path / 'a.tar', **members)
    with pytest.raises(ValueError, match=match):
        list(index_shards([path], key))


def test_archives_of_one_name_are_named(tmp_path):
    (tmp_path / 'b').mkdir()
    shards = [str(tmp_path / 'a.tar'), str(tmp_path / 'b/a.tar')]
    with pytest.raises(ValueError, match=r'2 archives are called a\.tar'):
        list(index_shards(shards))


def test_other_files_are_not_packed(tmp_path):
    (tmp_path / 'a.txt').write_text('scan.tiff 0\n')
    (tmp_path / 'scan.tiff').write_bytes(b'x')
    printed = run(
        *('make', tmp_path / 'a.txt', tmp_path / 'out'),
        *('--data-root', tmp_path),
        code=2,
    )
    assert 'scan.tiff is none of .jpg' in printed


@pytest.mark.parametrize('size', [0, 100, 700])
def test_damaged_archives_are_named(tmp_path, size):
    path = tar_of(tmp_path / 'a.tar', x__cls=b'1', y__jpg=b'a' * 9000)
    content = (tmp_path / 'a.tar').read_bytes()
    (tmp_path / 'a.tar').write_bytes(content[:size])
    with pytest.raises(ValueError, match=r'a\.tar: '):
        list(index_shards([path]))
    (tmp_path / 'a.tar').write_bytes(content[:5000])
    with pytest.raises(ValueError, match=r'a\.tar: '):
        list(index_shards([path]))


def test_the_order_goes_through_groups_of_shards():
    shards = np.repeat(np.arange(10), 7)
    order = shard_order(shards, 2, np.random.default_rng(0))
    assert sorted(order) == list(range(70))
    groups = [set(shards[order[i : i + 14]]) for i in range(0, 70, 14)]
    assert [len(group) for group in groups] == [2] * 5
    # Inside a group the shards are mixed.
    assert len(set(shards[order[:7]])) == 2
    assert shard_order(np.zeros(0, int), 2, np.random.default_rng(0)).size == 0


def test_ranks_see_every_image_once(folder, monkeypatch):
    tail = LongTailDataset(build(folder / 'out'), class_counts=[9, 5, 2])
    seen = []
    for rank in range(3):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, 3),
        )
        sampler = ShardSampler(tail, window=2, seed=3, shuffle=True)
        sampler.set_epoch(4)
        first = list(sampler)
        assert len(first) == len(sampler) == 6 and list(sampler) == first
        sampler.set_epoch(5)
        assert list(sampler) != first
        seen += first
    # Two more than there are, to be of one length.
    assert set(seen) == set(range(16)) and len(seen) == 18
    with pytest.raises(TypeError, match=r'needs ImageShards.*got list'):
        ShardSampler([1], seed=0)
    with pytest.raises(ValueError, match='window'):
        ShardSampler(tail, window=0)


def test_workers_read_shards(folder, server):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = DATASETS.build(
            dict(
                type='ImageShards',
                ann_file='train.txt',
                data_root=str(folder / 'out'),
                shards=server.url,
                pipeline=[LOAD, dict(type='PackInputs')],
            )
        )
        data[0]
        loader = Runner.build_dataloader(
            dict(
                dataset=data,
                batch_size=4,
                num_workers=2,
                sampler=dict(type='ShardSampler', window=2),
                collate_fn=dict(type='pseudo_collate'),
            ),
            seed=0,
        )
        labels = [
            int(sample.gt_label)
            for batch in loader
            for sample in batch['data_samples']
        ]
    assert sorted(labels) == LABELS
