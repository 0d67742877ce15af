"""A folder of images for each class."""

import logging
import os
from collections import Counter
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmghm.utils.errors import UserError

from .transforms import LoadCheckedImage

# What OpenCV reads, whatever its version; .jfif is another ending of JPEG.
IMAGE_EXTENSIONS = (
    *('.bmp', '.jfif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif'),
    *('.tiff', '.webp'),
)


class ClassFolders(NamedTuple):
    """Files (n,) and labels (n,) of the images in the folders of C classes.

    Files that were left out are counted by ending or by what else is the
    reason.
    """

    classes: List[str]
    paths: List[str]
    labels: List[int]
    left_out: Counter


def class_names(root: str) -> List[str]:
    """Names of the classes of a folder, sorted: those not hidden."""
    with os.scandir(root) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith('.')
        )


def read_class_folders(
    root: str,
    classes: Optional[Sequence[str]] = None,
    extensions: Sequence[str] = IMAGE_EXTENSIONS,
) -> ClassFolders:
    """Find the images of each class, by the names of the folders.

    Files at any depth below a class's folder belong to the class. Links to
    files are followed, links to folders only where they are a class.

    Args:
        root (str): Folder with a folder for each class.
        classes (Optional[Sequence[str]]): Names of the classes in the order of
            their labels; a class may have no folder here. By default those of
            :func:`class_names`.
        extensions (Sequence[str]): Endings of images, in lower case.

    Returns:
        ClassFolders: The images.

    Raises:
        UserError: If there is no such folder, no image in it, or a folder that
            is none of the classes.
    """
    if not os.path.isdir(root):
        raise UserError(f'there is no folder {root}')
    found = class_names(root)
    classes = found if classes is None else list(classes)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise UserError(
            f'{root} has folders that are none of the {len(classes)} classes: '
            f'{", ".join(unknown[:5])}; the classes are '
            f'{", ".join(classes[:5])}{" …" if len(classes) > 5 else ""}'
        )
    images = ClassFolders(classes, [], [], Counter())
    for label, name in enumerate(classes):
        for path, reason in _files(os.path.join(root, name), extensions):
            if reason:
                images.left_out[reason] += 1
            else:
                images.paths.append(path)
                images.labels.append(label)
    if not images.paths:
        raise UserError(
            f'{root} holds no image: expected {root}/<class>/*, with the '
            f'endings {", ".join(extensions)}{_in_words(images.left_out)}'
        )
    return images


def _files(folder: str, extensions: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Files below a folder, each with the reason to leave it out, if any."""
    for parent, folders, names in os.walk(folder):
        for name in sorted(folders):
            if os.path.islink(os.path.join(parent, name)):
                yield os.path.join(parent, name), 'links to folders'
        folders[:] = sorted(n for n in folders if not n.startswith('.'))
        for name in sorted(names):
            ending = os.path.splitext(name)[1].lower()
            reason = ''
            if name.startswith('.'):
                reason = 'hidden files'
            elif ending not in extensions:
                reason = ending or 'files without an ending'
            yield os.path.join(parent, name), reason


def _in_words(left_out: Counter) -> str:
    if not left_out:
        return ''
    kinds = [f'{count:,} {kind}' for kind, count in left_out.most_common()]
    return f'; left out: {", ".join(kinds)}'


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """A folder of images for each class; names of folders decide.

    Unlike mmpretrain's ``CustomDataset`` it gives a label by the class's name
    and not by the place of its folder, leaves hidden folders out, takes
    classes without an image, and says which files it left out.

    Args:
        data_root (str): Folder with a folder for each class. The classes are
            ``metainfo['classes']``, by default its folders.
        extensions (Sequence[str]): Endings of images, in lower case.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserError: See :func:`read_class_folders`.
    """

    def __init__(
        self,
        data_root: str,
        extensions: Sequence[str] = IMAGE_EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        self.extensions = tuple(extensions)
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Find the images."""
        found = read_class_folders(
            self.data_root, self.CLASSES, self.extensions
        )
        self._metainfo['classes'] = tuple(found.classes)
        empty = sorted(set(range(len(found.classes))) - set(found.labels))
        if empty or found.left_out:
            message = (
                f'{self.data_root}: {len(found.paths):,} images of '
                f'{len(found.classes):,} classes{_in_words(found.left_out)}'
            )
            if empty:
                names = ', '.join(found.classes[label] for label in empty[:5])
                message += (
                    f'; without an image here ({len(empty):,}): {names}'
                    + (' …' if len(empty) > 5 else '')
                )
            print_log(message, 'current', logging.WARNING)
        return [
            dict(img_path=path, gt_label=label)
            for path, label in zip(found.paths, found.labels)
        ]


@DATASETS.register_module()
class InMemoryImageFolder(ImageFolder):
    """Class folders of small images, decoded once.

    Yields what mmpretrain's CIFAR datasets yield (``img``, uint8 RGB, without
    ``LoadImageFromFile``), so that one pipeline serves both. Arguments are
    those of :class:`ImageFolder`.

    Raises:
        UserError: If a file cannot be read.
    """

    def load_data_list(self) -> List[dict]:
        """Read and decode the images."""
        samples = super().load_data_list()
        load = LoadCheckedImage().transform
        for sample in samples:
            loaded = load(sample)
            assert loaded is not None, 'a broken image raises'
            sample['img'] = np.ascontiguousarray(loaded['img'][..., ::-1])
        return samples
