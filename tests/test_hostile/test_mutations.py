"""Valid files changed at random: read rightly, or refused with their name.

What a reader accepts is compared with what a slow, obvious reader finds in the
same bytes; a case may take two seconds and 200 MB.
"""

import csv
import io
import json
import os
import shutil
import tarfile
import time
import tracemalloc
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mmengine.fileio import get
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader

from mmghm.datasets import ImageList, ImageShards, ImageTable, INaturalist
from mmghm.datasets.prepare.archives import unpack
from mmghm.datasets.shards.pack import index_shards

from ..test_datasets.test_annotations import parse_slowly

pytestmark = pytest.mark.slow
CASES = int(os.environ.get('FUZZ_CASES', 700))
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

# What stands in files that went wrong.
TOKENS = [
    *(
        b'',
        b'\0',
        b'\xff\xfe',
        b'\xef\xbb\xbf',
        b'"',
        b"'",
        b'\\',
        b'\r',
        b'\n',
    ),
    *(b',', b';', b'\t', b' ', b'-1', b'1.0', b'1e9', b'nan', b'null', b'true'),
    *(
        b'99999999999999999999',
        b'../',
        b'/etc/passwd',
        b'http://a/',
        b'#',
        b'{',
    ),
    *(b'[' * 2000, b'0' * 5000, '\u2028é'.encode(), b'a.jpg', b'0', b'1'),
]
cuts = st.floats(0, 1, exclude_max=True)
changes = st.lists(
    st.tuples(
        st.sampled_from(
            ['insert', 'replace', 'remove', 'repeat', 'swap', 'flip', 'end']
        ),
        *(cuts, cuts),
        st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=4,
)


def mutate(pieces, changes):
    """Change the pieces that a file is made of."""
    pieces = list(pieces)
    for kind, first, second, token in changes:
        if not pieces:
            break
        a, b = int(first * len(pieces)), int(second * len(pieces))
        if kind == 'insert':
            pieces.insert(a, token)
        elif kind == 'replace':
            pieces[a] = token
        elif kind == 'remove':
            del pieces[min(a, b) : max(a, b)]
        elif kind == 'repeat':
            pieces[b:b] = pieces[min(a, b) : max(a, b) + 1]
        elif kind == 'swap':
            pieces[a], pieces[b] = pieces[b], pieces[a]
        elif kind == 'flip':
            piece = bytearray(pieces[a])
            if piece:
                piece[b % len(piece)] ^= 1 << (b % 8)
            pieces[a] = bytes(piece)
        else:
            pieces = pieces[: a + 1]
    return b''.join(pieces)


def tokens(text, separators):
    """Cut a text behind and before each separator."""
    found, begin = [], 0
    for place, byte in enumerate(text):
        if byte in separators:
            found += [text[begin:place], text[place : place + 1]]
            begin = place + 1
    return [*found, text[begin:]]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('mutated')


def read(build, path):
    """What a reader makes of a file, or None if it refuses it by name."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        return build()
    except (ValueError, OSError) as error:
        message = f'{error}'
        assert path.name in message or str(path) in message, message
        assert len(message) < 20_000
        return None
    finally:
        taken, peak = (
            time.process_time() - begin,
            tracemalloc.get_traced_memory()[1],
        )
        tracemalloc.stop()
        assert taken < 2 and peak < 2e8, (taken, peak)


def images(dataset, folder):
    """Paths below a folder, and names of the classes, in order."""
    names = dataset.metainfo.get('classes')
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [
        (
            info['img_path'].removeprefix(f'{folder}/'),
            names[info['gt_label']] if names else info['gt_label'],
        )
        for info in infos
    ]


def load(kind, path):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = kind(path.name, data_root=str(path.parent), pipeline=[])
        return images(data, path.parent)


LIST = b''.join(b'folder/%d name.jpg %d\n' % (i, i % 3) for i in range(8))


@fuzzed
@given(changes)
def test_lists(place, changes):
    path = place / 'list.txt'
    text = mutate(tokens(LIST, b' \n/.'), changes)
    path.write_bytes(text)
    found = read(lambda: load(ImageList, path), path)
    expected = parse_slowly(text.removeprefix(b'\xef\xbb\xbf'), 10**9)
    if found is None:
        # A line that is wrong, or nothing at all.
        assert isinstance(expected, int) or not expected
        return
    assert [(os.fsencode(name), label) for name, label in found] == [
        (name, label) for name, label, _ in expected
    ]


CSV = b'id,path,label\n' + b''.join(
    b'%d,"a, %d.jpg",%s\n' % (i, i, (b'cat', b'dog', b'"the ""owl"""')[i % 3])
    for i in range(8)
)


@fuzzed
@given(changes, st.booleans())
def test_tables(place, changes, numbers):
    path = place / 'table.csv'
    text = CSV
    if numbers:
        for name, number in (
            (b'cat', b'0'),
            (b'dog', b'1'),
            (b'"the ""owl"""', b'2'),
        ):
            text = text.replace(name, number)
    text = mutate(tokens(text, b',"\n.'), changes)
    path.write_bytes(text)
    found = read(lambda: load(ImageTable, path), path)
    if found is None:
        return
    rows = list(csv.reader(io.StringIO(text.decode('utf-8-sig'), newline='')))
    header = [name.strip() for name in rows[0]]
    expected = [
        tuple(row[header.index(name)].strip() for name in ('path', 'label'))
        for row in rows[1:]
        if ''.join(row).strip()
    ]
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, got), (_, label) in zip(found, expected):
        assert label and (got == label or int(got) == float(label))


INAT = json.dumps(
    dict(
        images=[
            dict(id=10 + i, file_name=f'a/{i}.jpg', width=8) for i in range(6)
        ],
        annotations=[
            dict(id=i, image_id=10 + i, category_id=3 * (i % 3))
            for i in range(6)
        ],
        categories=[
            dict(id=3 * i, name=f'kind {i}', supercategory='Aves')
            for i in range(3)
        ],
    )
).encode()


@fuzzed
@given(changes)
def test_json(place, changes):
    path = place / 'train.json'
    text = mutate(tokens(INAT, b'{}[],:"'), changes)
    path.write_bytes(text)
    found = read(lambda: load(INaturalist, path), path)
    if found is None:
        return
    content = json.loads(text)
    names = {c['id']: c['name'] for c in content['categories']}
    files = {image['id']: image['file_name'] for image in content['images']}
    assert found == [
        (files[a['image_id']], names[a['category_id']])
        for a in content['annotations']
    ]


def archive(kind, members):
    buffer = io.BytesIO()
    if kind == 'zip':
        with zipfile.ZipFile(buffer, 'w') as file:
            for name, content in members.items():
                file.writestr(zipfile.ZipInfo(name), content)
    else:
        with tarfile.open(fileobj=buffer, mode=f'w:{kind}') as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MEMBERS = {f'top/{i}.txt': bytes([65 + i]) * 700 for i in range(4)}
ARCHIVES = {kind: archive(kind, MEMBERS) for kind in ('zip', '', 'gz', 'xz')}


@fuzzed
@given(changes, st.sampled_from(sorted(ARCHIVES)))
def test_archives(place, changes, kind):
    content = ARCHIVES[kind]
    step = 512 if not kind else 16
    pieces = [content[i : i + step] for i in range(0, len(content), step)]
    path = place / f'set.{kind or "tar"}'
    path.write_bytes(mutate(pieces, changes))
    outside = place / 'outside'
    folder = outside / 'folder'
    folder.mkdir(parents=True, exist_ok=True)

    def build():
        unpack(str(path), str(folder))
        return {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob('*')
            if p.is_file()
        }

    found = read(build, path)
    try:
        assert [p.name for p in outside.iterdir()] == ['folder']
        if found is None:
            assert not list(folder.iterdir())
        elif kind:
            # Checksums: what is there is what was packed. An end that was cut
            # off between members is what a tar archive alone cannot tell.
            assert found.items() <= MEMBERS.items()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope='module')
def saved():
    state = {f'layer{i}.weight': torch.full((4, 3), float(i)) for i in range(3)}
    buffer = io.BytesIO()
    torch.save(dict(meta=dict(epoch=3, note='a'), state_dict=state), buffer)
    return state, buffer.getvalue()


@fuzzed
@given(changes)
# A bare pickle that claims a name of 4 GB.
@example(
    [
        ('end', 0.09375, 0.0, b''),
        ('remove', 0.0, 0.3125, b''),
        ('insert', 0.5, 0.0, b'\xff\xfe'),
    ]
)
def test_checkpoints(place, saved, changes):
    state, content = saved
    pieces = [content[i : i + 16] for i in range(0, len(content), 16)]
    path = place / 'epoch_3.pth'
    path.write_bytes(mutate(pieces, changes))

    def build():
        return CheckpointLoader.load_checkpoint(str(path), logger='silent')

    found = read(build, path)
    if found is not None:
        assert found['meta'] == dict(epoch=3, note='a')
        assert found['state_dict'].keys() == state.keys()
        for name, tensor in state.items():
            assert torch.equal(found['state_dict'][name], tensor), name


@fuzzed
@given(changes)
def test_shards(place, changes):
    members = {}
    for number in range(4):
        members[f'{number}.jpg'] = bytes([number]) * 600
        members[f'{number}.cls'] = str(number).encode()
    content = archive('', members)
    folder = place / 'shards'
    folder.mkdir(exist_ok=True)
    path = folder / 'a.tar'
    path.write_bytes(content)
    (folder / 'list.txt').write_text('\n'.join(index_shards([str(path)])))
    # Packed anew after it was listed.
    pieces = [content[i : i + 512] for i in range(0, len(content), 512)]
    path.write_bytes(mutate(pieces, changes))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        data = ImageShards('list.txt', data_root=str(folder), pipeline=[])
    for index in range(len(data)):
        info = data.get_data_info(index)
        image = read(lambda info=info: get(info['img_path']), path)
        assert image in (None, bytes([info['gt_label']]) * 600)
