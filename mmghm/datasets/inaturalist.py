"""iNaturalist's COCO-style annotations."""

from typing import Any, List, Optional, Sequence

from mmengine.fileio import load
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .paths import join_inside


@DATASETS.register_module()
class INaturalist(BaseDataset):
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

    def load_data_list(self) -> List[dict]:
        """Read the annotations.

        Returns:
            List[dict]: ``img_path`` and ``gt_label`` of each image.

        Raises:
            ValueError: If an annotation names an unknown image or category,
                an image lies outside of the folder, or a super-category is
                unknown.
        """
        content = load(self.ann_file)
        known = {category['id'] for category in content['categories']}
        categories = self._chosen(content['categories'])
        self._metainfo.setdefault(
            'classes', tuple(c['name'] for c in categories)
        )
        label_of = {c['id']: i for i, c in enumerate(categories)}
        root = self.img_prefix or self.data_root
        try:
            path_of = {
                image['id']: join_inside(root, image['file_name'])
                for image in content['images']
            }
        except ValueError as error:
            raise ValueError(f'{self.ann_file}: {error}') from error
        samples = []
        for entry in content['annotations']:
            image, category = entry['image_id'], entry['category_id']
            if image not in path_of or category not in known:
                raise ValueError(
                    f'{self.ann_file}: annotation of image {image} with '
                    f'category {category}, one of which the file does not list'
                )
            if category in label_of:
                samples.append(
                    dict(
                        img_path=path_of[image],
                        gt_label=label_of[category],
                    )
                )
        return samples

    def _chosen(self, categories: List[dict]) -> List[dict]:
        """Categories to keep, by rising id."""
        ordered = sorted(categories, key=lambda category: category['id'])
        if self.supercategories is None:
            return ordered
        there = {c['supercategory'] for c in ordered if 'supercategory' in c}
        unknown = set(self.supercategories) - there
        if unknown or not self.supercategories:
            raise ValueError(
                f'{self.ann_file} has the super-categories '
                f'{sorted(there)}, got {list(self.supercategories)}'
            )
        return [
            category
            for category in ordered
            if category.get('supercategory') in self.supercategories
        ]
