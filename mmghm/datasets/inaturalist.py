"""iNaturalist's COCO-style annotations."""

import json
from operator import itemgetter
from typing import Any, List, Optional, Sequence

import numpy as np
from mmpretrain.registry import DATASETS

from mmghm.utils.dependencies import LazyModule

from .listed_images import ListedImages
from .tables import AnnotationError, AnnotationTable, is_text, pack_paths

pa = LazyModule('pyarrow')
pc = LazyModule('pyarrow.compute')


@DATASETS.register_module()
class INaturalist(ListedImages):
    """iNaturalist 2017 or 2018 from the official JSON files.

    Labels are the ranks of the category ids, so that they run from 0 without
    gaps.

    Args:
        ann_file (str): Such as ``train2017.json``, relative to ``data_root``.
        supercategories (Optional[Sequence[str]]): Keep only the categories of
            these, such as ``['Aves', 'Insecta']``; all by default.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    def __init__(
        self,
        ann_file: str,
        supercategories: Optional[Sequence[str]] = None,
        **kwargs: Any,
    ) -> None:
        self.supercategories = supercategories
        super().__init__(ann_file=ann_file, **kwargs)

    def read(self, *contents: bytes) -> AnnotationTable:
        """Read the annotations."""
        try:
            content = json.loads(contents[0])
        # Not only JSONDecodeError: text in no known encoding, integers of
        # thousands of digits.
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f'no JSON: {error}') from error
        try:
            images, annotations = content['images'], content['annotations']
            paths = list(map(itemgetter('file_name'), images))
            ids = _column(images, 'id')
            image_ids = _column(annotations, 'image_id')
            category_ids = _column(annotations, 'category_id')
            ordered = sorted(content['categories'], key=lambda c: c['id'])
            classes = self._chosen(ordered)
            names = [category['name'] for category in classes]
            if not all(map(is_text, names)):
                raise TypeError('a name that is no text')
            known = _column(ordered, 'id')
            label_of = {c['id']: i for i, c in enumerate(classes)}
        except (KeyError, TypeError, AttributeError) as error:
            raise AnnotationError(
                'expected JSON with images, annotations and categories as '
                f'iNaturalist has them, got {type(error).__name__}: {error}'
            ) from error
        none = np.zeros(len(paths), dtype=np.int32)
        table = AnnotationTable(pack_paths(paths), none).check()
        image = _find(image_ids, ids)
        category = _find(category_ids, known)
        wrong = (image < 0) | (category < 0)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise AnnotationError(
                f'annotation of image {image_ids[first]} with category '
                f'{category_ids[first]}, one of which the file does not list'
            )
        seen = np.bincount(image, minlength=1)
        if seen.max() > 1:
            twice = int(seen.argmax())
            raise AnnotationError(
                f'image {ids[twice]} has {seen[twice]} annotations, of which '
                'each would be an example'
            )
        label = [label_of.get(c, -1) for c in known.tolist()]
        labels = np.array(label, dtype=np.int32)[category]
        kept = np.flatnonzero(labels >= 0)
        return table.take(image[kept])._replace(
            labels=labels[kept], names=names
        )

    def _chosen(self, ordered: List[dict]) -> List[dict]:
        """Keep the categories that are asked for."""
        if self.supercategories is None:
            return ordered
        there = {c['supercategory'] for c in ordered if 'supercategory' in c}
        unknown = set(self.supercategories) - there
        if unknown or not self.supercategories:
            raise AnnotationError(
                f'the super-categories are {sorted(there)}, '
                f'got {list(self.supercategories)}'
            )
        return [
            category
            for category in ordered
            if category.get('supercategory') in self.supercategories
        ]


def _column(entries: List[dict], key: str) -> np.ndarray:
    values = np.array(list(map(itemgetter(key), entries)))
    if len(values) and values.dtype.kind != 'i':
        # NumPy makes other types of integers beyond 64 bits.
        wrong = next(
            value
            for value in map(itemgetter(key), entries)
            if type(value) is not int or not -(2**63) <= value < 2**63
        )
        raise AnnotationError(f'{key} must be an integer, got {wrong!r}')
    return values.astype(np.int64)


def _find(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Place of ids among known ones, -1 where they are not."""
    found, counts = np.unique(known, return_counts=True)
    if counts.max(initial=1) > 1:
        twice = found[counts.argmax()]
        raise AnnotationError(f'the id {twice} stands for several entries')
    places = pc.index_in(pa.array(wanted), value_set=pa.array(known))
    return places.fill_null(-1).to_numpy()
