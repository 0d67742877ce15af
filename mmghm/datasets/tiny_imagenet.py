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
        """Find the images; a wrong annotation names its line."""
        lines = list_from_file(osp.join(self.data_root, 'wnids.txt'))
        wnids = sorted(filter(None, map(str.strip, lines)))
        self._metainfo.setdefault('classes', tuple(wnids))
        label_of = {wnid: label for label, wnid in enumerate(wnids)}
        if self.split == 'train':
            folders = (osp.join(self.data_root, 'train', w) for w in wnids)
            return [
                dict(img_path=osp.join(folder, path), gt_label=label)
                for label, folder in enumerate(folders)
                for path in sorted(
                    list_dir_or_file(
                        folder, list_dir=False, recursive=True, suffix='.JPEG'
                    )
                )
            ]
        annotations = osp.join(self.data_root, 'val', 'val_annotations.txt')
        images = osp.join(self.data_root, 'val', 'images')
        samples = []
        for number, line in enumerate(list_from_file(annotations), start=1):
            name, _, rest = line.partition('\t')
            wnid = rest.split('\t')[0].strip()
            try:
                if wnid not in label_of:
                    raise UserError(f'unknown class {wnid!r}')
                path = join_inside(images, name)
            except UserError as error:
                where = f'{annotations}, line {number}'
                raise UserError(f'{where}: {error}') from error
            samples.append(dict(img_path=path, gt_label=label_of[wnid]))
        return samples
