"""Images to predict: finding them, and reading them in workers."""

import csv
import os
import re
import sys
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmghm.datasets.image_folder import IMAGE_EXTENSIONS
from mmghm.datasets.transforms import LoadCheckedImage
from mmghm.engine.recipes import type_name
from mmghm.utils.dependencies import import_optional
from mmghm.utils.errors import UserError

# Arguments of LoadCheckedImage.
LOADING = ('color_type', 'imdecode_backend', 'value_range')
_LISTS = ('.txt', '.csv', '.parquet', '.pq')


class Found(NamedTuple):
    """An image that is asked for.

    Its path, in which bytes that are not UTF-8 are surrogates, and why it is
    not to be read; empty if it is.
    """

    path: str
    error: str = ''


def find_images(inputs: Iterable[str], column: str = 'path') -> Iterator[Found]:
    """Walk through what was given, in an order that does not change.

    Image files; folders, of which all image files below are taken, links to
    folders not followed; ``.txt`` lists, a path a line, a label after it being
    left out; ``.csv`` or ``.parquet`` tables, with paths in a ``column``; ``-``
    for lines of standard input. Paths in lists are relative to the list, those
    of standard input to the current folder. A UserError says that an input does
    not exist, or a table lacks the column.
    """
    for given in inputs:
        if given == '-':
            for line in sys.stdin.buffer:
                yield from _line(line, '')
        elif os.path.isdir(given):
            yield from _walk(given)
        elif not os.path.exists(given):
            raise UserError(f'no image, folder or list {given}')
        elif given.lower().endswith('.txt'):
            with open(given, 'rb') as file:
                for line in file:
                    yield from _line(line, os.path.dirname(given))
        elif given.lower().endswith(_LISTS):
            folder = os.path.dirname(given)
            for path in _column(given, column):
                yield Found(os.path.join(folder, path))
        else:
            yield Found(given)


def _line(line: bytes, folder: str) -> Iterator[Found]:
    text = os.fsdecode(line.removeprefix(b'\xef\xbb\xbf')).strip('\r\n')
    # A label after a path, as in lists of train images.
    found = re.fullmatch(r'(.*\S)\s+\d+\s*', text)
    if found and found[1].lower().endswith(IMAGE_EXTENSIONS):
        text = found[1]
    if text.strip():
        yield Found(os.path.join(folder, text))


def _column(path: str, column: str) -> Iterator[str]:
    """Paths in a table's column, but for empty ones."""
    try:
        if path.lower().endswith('.csv'):
            with open(
                path, newline='', encoding='utf-8-sig', errors='surrogateescape'
            ) as file:
                reader = csv.DictReader(file)
                _check_column(path, column, reader.fieldnames or ())
                yield from filter(None, (row[column] for row in reader))
            return
        parquet = import_optional('pyarrow.parquet')
        with parquet.ParquetFile(path) as file:
            _check_column(path, column, file.schema_arrow.names)
            for batch in file.iter_batches(columns=[column]):
                for found in filter(None, batch.column(0).to_pylist()):
                    if not isinstance(found, str):
                        raise UserError(
                            f'{path}: column {column!r} holds {found!r:.60}, '
                            'no path'
                        )
                    yield found
    except UserError:
        raise
    # What readers raise for damaged tables; pyarrow's are ValueErrors.
    except (csv.Error, ValueError) as error:
        raise UserError(f'{path} is no table: {error}') from error


def _check_column(path: str, column: str, names: Iterable[str]) -> None:
    if column not in names:
        raise UserError(
            f'{path} has no column {column!r}, only {", ".join(names)}; name '
            'it by --path-column'
        )


def _walk(folder: str) -> Iterator[Found]:
    inside = os.path.join(os.path.realpath(folder), '')
    unreadable: List[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        while unreadable:
            error = unreadable.pop()
            yield Found(
                str(error.filename), f'cannot be read: {error.strerror}'
            )
        folders.sort()
        for name in sorted(files):
            if not name.lower().endswith(IMAGE_EXTENSIONS):
                continue
            path = os.path.join(parent, name)
            if os.path.islink(path) and not os.path.realpath(path).startswith(
                inside
            ):
                yield Found(path, f'a link that leads out of {folder}')
            else:
                yield Found(path)
    for error in unreadable:
        yield Found(str(error.filename), f'cannot be read: {error.strerror}')


class Batch(NamedTuple):
    """Images that were read.

    Args:
        paths (List[str]): All n of them.
        errors (List[str]): For each why it could not be read, or nothing.
        images (Dict[tuple, Tensor]): Those that could, by their shape, uint8
            (m, channels, H, W).
        places (Dict[tuple, List[int]]): Where these are in ``paths``.
    """

    paths: List[str]
    errors: List[str]
    images: Dict[tuple, Tensor]
    places: Dict[tuple, List[int]]

    def logits(
        self, model: Callable[[Tensor], np.ndarray], num_classes: int
    ) -> np.ndarray:
        """Float32 (n, C) of all paths; 0 where an image could not be read."""
        found = np.zeros((len(self.paths), num_classes), np.float32)
        for shape, places in self.places.items():
            found[places] = model(self.images[shape])
        return found


def is_loader(step: dict) -> bool:
    """Whether a transform's config is of one that reads a file."""
    return type_name(step) in ('LoadImageFromFile', 'LoadCheckedImage')


def loading_settings(steps: Iterable[dict]) -> Dict[str, Any]:
    """Those of :data:`LOADING` that the loader among transforms has."""
    loader = next((step for step in steps if is_loader(step)), {})
    return {name: loader[name] for name in LOADING if name in loader}


def _check_growth(step: Any, height: int, width: int) -> None:
    """Refuse an image so narrow that a transform would make it huge."""
    long, short = max(height, width), min(height, width)
    pixels = 0.0
    if type(step).__name__ == 'ResizeEdge' and step.edge != 'long':
        pixels = step.scale**2 * long / short
    elif getattr(step, 'pad_to_square', False):
        pixels = long**2
    if pixels > 2 * (Image.MAX_IMAGE_PIXELS or np.inf):
        raise UserError(
            f'an image of {width} x {height} would be prepared with '
            f'{pixels:,.0f} pixels'
        )


class ImageReader(Dataset):
    """Reads, decodes and prepares an image, as the model was tested.

    Args:
        steps (Iterable[dict]): Configs of the transforms. Of one that loads
            images, the settings that decide about pixels (:data:`LOADING`)
            are kept.
    """

    def __init__(self, steps: Iterable[dict]) -> None:
        self.load = LoadCheckedImage(**loading_settings(steps))
        rest = [step for step in steps if not is_loader(step)]
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.steps = [TRANSFORMS.build(step) for step in rest]

    def __getitem__(self, found: Found) -> Any:
        if found.error:
            return found.path, found.error, None
        if os.path.exists(found.path) and not os.path.isfile(found.path):
            # A pipe would be waited for.
            return found.path, 'no regular file', None
        try:
            loaded = self.load.transform(dict(img_path=found.path))
            return found.path, '', self.tensor(loaded)
        # One image, whatever is wrong with it, does not end the run.
        except Exception as error:
            reason = error.__cause__ or error
            return found.path, ' '.join(str(reason).split()), None

    def tensor(self, loaded: Any) -> Tensor:
        """Prepare an image that is loaded: blue first, uint8 (H, W, 3).

        It becomes RGB or grey, uint8 (channels, H, W).
        """
        for step in self.steps:
            _check_growth(step, *loaded['img'].shape[:2])
            loaded = step(loaded)
        # Blue first becomes RGB.
        image = np.atleast_3d(loaded['img'])[..., ::-1].transpose(2, 0, 1)
        return torch.from_numpy(np.ascontiguousarray(image))


def generated_images(steps: List[dict], number: int) -> Iterator[Tensor]:
    """Images to compare two forms of a model on: blurred noise.

    They come in batches of up to 32, as :meth:`ImageReader.tensor` gives them.
    """
    reader = ImageReader(steps)
    rng = np.random.default_rng(0)
    for start in range(0, number, 32):
        batch = []
        for _ in range(min(32, number - start)):
            noise = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            image = cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC)
            shape = image.shape[:2]
            batch.append(
                reader.tensor(dict(img=image, img_shape=shape, ori_shape=shape))
            )
        yield torch.stack(batch)


def _collate(items: List[Any]) -> Batch:
    batch = Batch([i[0] for i in items], [i[1] for i in items], {}, {})
    for place, (_, _, image) in enumerate(items):
        if image is not None:
            batch.places.setdefault(tuple(image.shape), []).append(place)
    for shape, places in batch.places.items():
        batch.images[shape] = torch.stack([items[i][2] for i in places])
    return batch


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def default_workers(device: str) -> int:
    """How many processes read images, unless the user says so; 0: this one.

    On a CPU they would take cores from the network, which needs them more.
    """
    cores = os.cpu_count() or 1
    return cores // 4 if device == 'cpu' else min(max(cores - 1, 1), 8)


def read_images(
    found: Iterable[Found],
    reader: ImageReader,
    batch_size: int,
    num_workers: int,
) -> Iterator[Batch]:
    """Read images in their order, a bounded number at a time.

    In batches of up to ``batch_size``, by so many worker processes; 0 reads in
    this one.
    """
    # Drawn as they are needed.
    yield from DataLoader(
        reader,
        batch_size,
        sampler=found,
        num_workers=num_workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
    )
