"""Images and labels from a list, a line each."""

from typing import Any

from mmpretrain.registry import DATASETS

from .listed_images import ListedImages
from .tables import AnnotationTable, read_list


@DATASETS.register_module()
class ImageList(ListedImages):
    """Lines of ``path label``, as ImageNet-LT, Places-LT and others come.

    Labels are integers from 0. A path may hold blanks and bytes that are not
    UTF-8; it is relative to ``data_prefix`` in ``data_root``, must not lead
    out of it and comes once. Lines may end in LF or CRLF; blank ones are
    ignored.

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

    def read(self, *contents: bytes) -> AnnotationTable:
        """Read the list."""
        (content,) = contents
        num_classes = len(self.CLASSES or ()) or self.num_classes
        return read_list(content, num_classes).check()
