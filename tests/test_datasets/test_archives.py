"""Downloads are resumed and verified, archives do not climb out."""

import hashlib
import io
import os
import re
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mmghm.datasets.prepare.archives import (
    Archive,
    ArchiveError,
    download,
    prepare,
    unpack,
)


def zip_of(members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def tar_of(*members):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode='w:gz') as archive:
        for info, text in members:
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return content.getvalue()


def member(name, kind=tarfile.REGTYPE, link=''):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def shown(folder):
    """What is there besides locks."""
    return [name for name in os.listdir(folder) if not name.startswith('.')]


GOOD = zip_of({'set/a.txt': 'a' * 5000, 'set/b.txt': 'b' * 5000})


class Handler(BaseHTTPRequestHandler):
    content = GOOD
    with_ranges = True
    # Bytes after which the connection breaks, once.
    breaks_after = None
    requested = []

    def log_message(self, *args):
        pass

    def do_GET(self):
        cls = type(self)
        found = re.search(r'bytes=(\d+)-', self.headers.get('Range', ''))
        start = int(found[1]) if found and cls.with_ranges else 0
        cls.requested.append(start)
        if start >= len(cls.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(cls.content) - start))
        self.end_headers()
        stop = cls.breaks_after or len(cls.content)
        cls.breaks_after = None
        self.wfile.write(cls.content[start:stop])


@pytest.fixture
def server(serve):
    handler = type('Fresh', (Handler,), dict(requested=[]))
    handler.url = f'{serve(handler)}/set.zip'
    return handler


def archive_of(server, content=GOOD):
    return Archive(server.url, hashlib.md5(content).hexdigest(), 'set/a.txt')


@pytest.mark.parametrize('with_ranges', [True, False])
def test_a_broken_download_goes_on(tmp_path, server, with_ranges):
    server.with_ranges, server.breaks_after = with_ranges, 4000
    archive = archive_of(server)
    with pytest.raises(OSError, match='Run again to go on from byte 4,000'):
        download(archive, str(tmp_path))
    assert os.listdir(tmp_path) == ['set.zip.partial']
    path = download(archive, str(tmp_path))
    assert Path(path).read_bytes() == GOOD
    assert server.requested == [0, 4000 if with_ranges else 0]
    # A third time nothing is asked for.
    download(archive, str(tmp_path))
    assert len(server.requested) == 2


def test_a_complete_part_is_only_verified(tmp_path, server):
    (tmp_path / 'set.zip.partial').write_bytes(GOOD)
    path = download(archive_of(server), str(tmp_path))
    assert Path(path).read_bytes() == GOOD


def test_a_wrong_checksum_is_refused_before_unpacking(tmp_path, server):
    server.content = GOOD[:-1] + b'!'
    with pytest.raises(ArchiveError, match=r'md5 \w+, but \w+ is published'):
        prepare(archive_of(server), str(tmp_path))
    assert shown(tmp_path) == []


def test_prepares_once(tmp_path, server):
    for _ in range(2):
        prepare(archive_of(server), str(tmp_path))
    assert shown(tmp_path) == ['set']
    assert (tmp_path / 'set/b.txt').read_text() == 'b' * 5000
    assert len(server.requested) == 1


def test_no_connection_is_explained(tmp_path):
    archive = Archive('http://127.0.0.1:9/set.zip', '', 'set')
    with pytest.raises(OSError, match=r'127\.0\.0\.1:9.*Run again'):
        download(archive, str(tmp_path))


@pytest.mark.parametrize(
    'content',
    [
        zip_of({'../evil': 'x'}),
        zip_of({'good': 'x', 'set/../../evil': 'x'}),
        zip_of({'/tmp/mmghm_evil': 'x'}),
        tar_of((member('../evil'), b'x')),
        tar_of((member('good'), b'x'), (member('a/../../evil'), b'x')),
        tar_of((member('link', tarfile.SYMTYPE, '/etc'), b'')),
        tar_of((member('link', tarfile.SYMTYPE, '../..'), b'')),
        tar_of((member('link', tarfile.LNKTYPE, '../evil'), b'')),
        tar_of((member('device', tarfile.CHRTYPE), b'')),
        # Links that lead nowhere bad by themselves, but can be chained.
        tar_of(
            (member('d', tarfile.DIRTYPE), b''),
            (member('d/link', tarfile.SYMTYPE, '.'), b''),
        ),
        tar_of((member('a'), b'x'), (member('b', tarfile.LNKTYPE, 'a'), b'')),
        # The last bytes of gzip: checksum and length.
        tar_of((member('a'), b'x'))[:-8] + bytes(8),
        GOOD[:3000],
        b'<html>404</html>',
        b'',
    ],
    ids=range(15),
)
def test_a_hostile_or_broken_archive_leaves_nothing(tmp_path, content):
    path = tmp_path / 'archive'
    path.write_bytes(content)
    folder = tmp_path / 'inner/data'
    with pytest.raises(ArchiveError, match='archive'):
        unpack(str(path), str(folder))
    assert os.listdir(folder) == []
    assert sorted(os.listdir(tmp_path)) == ['archive', 'inner']
    assert os.listdir(tmp_path / 'inner') == ['data']
    assert not os.path.exists('/tmp/mmghm_evil')


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / 'archive'
    path.write_bytes(GOOD)
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/mine').write_text('keep')
    with pytest.raises(ArchiveError, match='exists already'):
        unpack(str(path), str(tmp_path))
    assert os.listdir(tmp_path / 'set') == ['mine']


def test_all_folders_or_none(tmp_path):
    path = tmp_path / 'archive'
    path.write_bytes(zip_of({f'part{i:02}/a.txt': 'a' for i in range(20)}))
    folder = tmp_path / 'data'
    (folder / 'part13').mkdir(parents=True)
    with pytest.raises(ArchiveError, match='part13 exists already'):
        unpack(str(path), str(folder))
    assert os.listdir(folder) == ['part13']


def test_the_sign_that_all_is_there_comes_last(tmp_path, monkeypatch):
    path = tmp_path / 'archive'
    path.write_bytes(zip_of({f'part{i}/a.txt': 'a' for i in range(5)}))
    moved, rename = [], os.rename

    def spy(source, target):
        moved.append(os.path.basename(target))
        rename(source, target)

    monkeypatch.setattr(os, 'rename', spy)
    unpack(str(path), str(tmp_path / 'data'), last='part2/a.txt')
    assert len(moved) == 5 and moved[-1] == 'part2'


def test_two_at_once_prepare_one_set(tmp_path, server):
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(prepare, archive_of(server), str(tmp_path))
            for _ in range(2)
        ]
        for job in jobs:
            job.result()
    assert len(server.requested) == 1
    assert sorted(os.listdir(tmp_path / 'set')) == ['a.txt', 'b.txt']
