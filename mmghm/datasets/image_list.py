"""Images and labels from a list, a line each."""

from typing import Any, Dict, Sequence, Tuple

from mmpretrain.registry import DATASETS

from .annotations.annotation_table import AnnotationTable
from .annotations.text_reader import parse_lines
from .listed_images import ListedImages


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

    def settings(self) -> Dict[str, Any]:
        """What else decides how the list is read.

        Returns:
            Dict[str, Any]: ``num_classes``, 0 if unknown.
        """
        return dict(num_classes=len(self.CLASSES or ()) or self.num_classes)

    def read(self, *contents: bytes) -> Tuple[AnnotationTable, Sequence[str]]:
        """Read the list.

        Args:
            *contents (bytes): Its content.

        Returns:
            Tuple[AnnotationTable, Sequence[str]]: The images, and nothing.

        Raises:
            AnnotationError: If a line has no label or one out of range, or a path
                leads out of the folder or comes twice.
        """
        (content,) = contents
        # Some editors begin files with a byte order mark.
        content = content[3:] if content[:3] == b'\xef\xbb\xbf' else content
        return parse_lines(content, **self.settings()).check(), ()
