"""TinyImageNet in its official layout."""

import os.path as osp
from typing import Any, List

from mmengine.fileio import list_dir_or_file, list_from_file
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmghm.utils.errors import UserError
from mmghm.utils.paths import join_inside


@DATASETS.register_module()
class TinyImageNet(BaseDataset):
    """TinyImageNet-200: 100,000 train and 10,000 val images, 64 x 64.

    Reads ``wnids.txt``, ``train/<wnid>/images/*.JPEG``,
    ``val/val_annotations.txt`` and ``val/images/*.JPEG`` as they come. Some
    images are grey: load them in colour, as ``LoadCheckedImage`` does.

    Args:
        data_root (str): Folder of ``wnids.txt``.
        split (str): ``'train'`` or ``'val'``.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: If the split is unknown.
    """

    def __init__(
        self, data_root: str, split: str = 'train', **kwargs: Any
    ) -> None:
        if split not in ('train', 'val'):
            raise UserError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Find the images.

        Returns:
            List[dict]: ``img_path`` and ``gt_label`` of each image.

        Raises:
            ValueError: If a line of the annotations names an unknown class or an
                image outside of the folder.
        """
        wnids = sorted(
            line.strip()
            for line in list_from_file(osp.join(self.data_root, 'wnids.txt'))
            if line.strip()
        )
        self._metainfo.setdefault('classes', tuple(wnids))
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        if self.split == 'train':
            return [
                dict(
                    img_path=osp.join(self.data_root, 'train', wnid, path),
                    gt_label=label,
                )
                for wnid, label in label_of.items()
                for path in sorted(
                    list_dir_or_file(
                        osp.join(self.data_root, 'train', wnid),
                        list_dir=False,
                        recursive=True,
                        suffix='.JPEG',
                    )
                )
            ]
        annotations = osp.join(self.data_root, 'val', 'val_annotations.txt')
        images = osp.join(self.data_root, 'val', 'images')
        samples = []
        for number, line in enumerate(list_from_file(annotations), start=1):
            name, _, rest = line.partition('\t')
            wnid = rest.split('\t')[0].strip()
            if wnid not in label_of:
                raise UserError(
                    f'{annotations}, line {number}: unknown class {wnid!r}'
                )
            try:
                path = join_inside(images, name)
            except ValueError as error:
                raise UserError(
                    f'{annotations}, line {number}: {error}'
                ) from error
            samples.append(dict(img_path=path, gt_label=label_of[wnid]))
        return samples
