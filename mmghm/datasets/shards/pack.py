"""Tar archives of images, WebDataset's layout: written and indexed."""

import io
import json
import os
import os.path as osp
import tarfile
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import fsspec
import numpy as np
from mmengine.fileio import get

from mmghm.utils.errors import UserError
from mmghm.utils.progress import tracked

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.ppm')


def write_shards(
    dataset: Any, folder: str, name: str, shard_bytes: int, seed: int = 0
) -> List[str]:
    """Pack the images of a dataset into archives, in a random order.

    Image number ``i`` becomes ``i.jpg`` (or what it is) and ``i.cls``, its
    label in text. The same images give the same bytes.

    Args:
        dataset (Any): With ``get_data_info``.
        folder (str): Where to.
        name (str): How the archives' names begin.
        shard_bytes (int): Size of the images after which an archive ends.
        seed (int): Seed of the order. A list by classes would be mixed badly
            by ``ShardSampler``.

    Returns:
        List[str]: Paths of the archives.

    Raises:
        FileExistsError: If there are such archives already.
        ValueError: If a file is no known kind of image.
    """
    os.makedirs(folder, exist_ok=True)
    there = sorted(Path(folder).glob(f'{name}-*.tar'))
    if there:
        raise FileExistsError(
            f'{there[0]} exists already; move the archives away, or give '
            'another name'
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(dataset))
    paths: List[str] = []
    packed = 0
    with tracked(order, f'Packing {name}') as indices:
        images = enumerate(indices)
        while packed < len(order):
            path = osp.join(folder, f'{name}-{len(paths):06d}.tar')
            filled = 0
            with tarfile.open(f'{path}.partial', 'w') as archive:
                for number, index in images:
                    info = dataset.get_data_info(int(index))
                    content = get(info['img_path'])
                    extension = osp.splitext(info['img_path'])[1].lower()
                    if extension not in EXTENSIONS:
                        raise UserError(
                            f'{info["img_path"]} is none of {", ".join(EXTENSIONS)}'
                        )
                    label = str(info['gt_label']).encode()
                    _add(archive, f'{number:09d}{extension}', content)
                    _add(archive, f'{number:09d}.cls', label)
                    packed += 1
                    filled += len(content)
                    if filled >= shard_bytes:
                        break
            # Only a whole archive gets its name.
            os.replace(f'{path}.partial', path)
            paths.append(path)
    return paths


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def index_shards(shards: Sequence[str], label_key: str = '') -> Iterator[str]:
    """Say where each image of some archives lies.

    Args:
        shards (Sequence[str]): Paths or addresses that fsspec knows. They are
            read whole, once, for the images' checksums.
        label_key (str): Where to find a label in the ``.json`` of an image; by
            default the label is in its ``.cls``.

    Yields:
        str: Lines of ``SHARD.tar#OFFSET+SIZE-CRC label``, as ``ImageShards``
        reads them, shards by their names without folders.

    Raises:
        ValueError: If an archive is damaged or holds no image, an image has no
            label that is an integer from 0, or two images or two archives have
            one name. Names them.
    """
    names = [osp.basename(shard) for shard in shards]
    for name in set(names):
        if names.count(name) > 1:
            raise UserError(
                f'{names.count(name)} archives are called {name}; the list '
                'names them without their folders'
            )
    for shard in shards:
        # An OSError names the address already.
        with fsspec.open(shard, 'rb') as file:
            try:
                with tarfile.open(fileobj=file, mode='r:') as archive:
                    places, labels = _read_members(shard, archive, label_key)
            except (tarfile.TarError, EOFError) as error:
                raise UserError(f'{shard}: {error}') from error
        if not places:
            raise UserError(f'{shard} holds no image ({", ".join(EXTENSIONS)})')
        for key, place in places.items():
            if key not in labels:
                missing = f'{key}.json' if label_key else f'{key}.cls'
                raise UserError(f'{shard}: there is no {missing!r}')
            yield f'{osp.basename(shard)}#{place} {labels[key]}'


def _read_members(
    shard: str, archive: tarfile.TarFile, label_key: str
) -> Tuple[Dict[str, str], Dict[str, int]]:
    """Places of the images in an archive, and their labels, by key."""
    places: Dict[str, str] = {}
    labels: Dict[str, int] = {}
    for member in archive:
        folder, _, name = member.name.rpartition('/')
        # What belongs together has the same name before the first dot.
        stem, _, extension = name.partition('.')
        key = f'{folder}/{stem}' if folder else stem
        if not member.isfile():
            continue
        if f'.{extension.lower()}' in EXTENSIONS:
            if key in places:
                raise UserError(
                    f'{shard}: {member.name!r} is a second image of {key!r}; a '
                    'list has one image to a name and its label'
                )
            crc = zlib.crc32(_read(archive, member))
            places[key] = f'{member.offset_data}+{member.size}-{crc:08x}'
        elif extension == ('json' if label_key else 'cls'):
            content = _read(archive, member)
            try:
                found = json.loads(content)
                labels[key] = _label(found[label_key] if label_key else found)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f'{shard}: {member.name!r} holds no label that is an '
                    f'integer from 0, but {content[:100]!r}'
                ) from error
    return places, labels


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    assert opened is not None, 'it is a file'
    content = opened.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f'{member.name!r} is cut off')
    return content


def _label(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise UserError('no label')
    return int(value)
