"""iNaturalist's COCO-style annotations."""

from typing import Any, List

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
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the annotations.

        Returns:
            List[dict]: ``img_path`` and ``gt_label`` of each image.

        Raises:
            ValueError: If an annotation names an unknown image or category, or
                an image lies outside of the folder.
        """
        content = load(self.ann_file)
        categories = sorted(content['categories'], key=lambda c: c['id'])
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
            if image not in path_of or category not in label_of:
                raise ValueError(
                    f'{self.ann_file}: annotation of image {image} with '
                    f'category {category}, one of which the file does not list'
                )
            samples.append(
                dict(
                    img_path=path_of[image],
                    gt_label=label_of[category],
                )
            )
        return samples
