"""Images and labels from a list, a line each."""

from typing import Any, Dict, List

from mmengine.fileio import get
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .paths import join_inside


@DATASETS.register_module()
class ImageList(BaseDataset):
    """Lines of ``path label``, as ImageNet-LT, Places-LT and others come.

    Labels are integers from 0. A path may hold blanks and bytes that are not
    UTF-8; it is relative to ``data_prefix`` in ``data_root`` and must not lead
    out of it. Lines may end in LF or CRLF; blank ones are ignored.

    Args:
        ann_file (str): The list, relative to ``data_root``.
        data_root (str): Folder.
        num_classes (int): C; 0: unknown, labels are not bounded.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        num_classes: int = 0,
        **kwargs: Any,
    ) -> None:
        self.num_classes = num_classes
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the list.

        Returns:
            List[dict]: ``img_path``, ``gt_label`` and ``line``, the number of
            the line.

        Raises:
            ValueError: If the list is empty or a line is malformed: no label,
                one that is no integer or out of range, a path listed twice or
                leading out of the folder. Names the line.
        """
        root = self.img_prefix or self.data_root
        classes = len(self._metainfo.get('classes') or ()) or self.num_classes
        line_of: Dict[str, int] = {}
        samples = []
        # Names that are not UTF-8 reach the file system as they are.
        text = get(self.ann_file).decode('utf-8', 'surrogateescape')
        for number, line in enumerate(text.split('\n'), start=1):
            line = line.strip()
            if not line:
                continue
            path, *rest = line.rsplit(maxsplit=1)
            label = ''.join(rest)
            if not (label.isascii() and label.isdigit()):
                raise self._error(
                    number, f'expected "path label", got {line!r}'
                )
            if classes and int(label) >= classes:
                raise self._error(
                    number, f'label {label} is not below {classes} classes'
                )
            img_path = self._checked_path(root, path, number, line_of)
            samples.append(
                dict(img_path=img_path, gt_label=int(label), line=number)
            )
        if not samples:
            raise ValueError(f'{self.ann_file} lists no image')
        return samples

    def get_data_info(self, idx: int) -> dict:
        """Annotation of one image.

        Args:
            idx (int): Index.

        Returns:
            dict: The annotation, with ``source``, the line that names it.
        """
        info = super().get_data_info(idx)
        info['source'] = f'{self.ann_file}, line {info.pop("line")}'
        return info

    def _checked_path(
        self, root: str, path: str, number: int, line_of: Dict[str, int]
    ) -> str:
        """Join a path to its folder; paths seen before are in line_of."""
        try:
            img_path = join_inside(root, path)
        except ValueError as error:
            raise self._error(number, str(error)) from error
        if line_of.setdefault(path, number) != number:
            raise self._error(
                number, f'{path!r} is listed in line {line_of[path]} too'
            )
        return img_path

    def _error(self, number: int, what: str) -> ValueError:
        return ValueError(f'{self.ann_file}, line {number}: {what}')
