"""Images that a file lists."""

from typing import Any, Dict, List, Sequence, Tuple, Union

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.fileio import get
from mmpretrain.datasets import BaseDataset

from .records import RecordError, RecordList, Records
from .shared import share

# Smaller files are read faster than shared, in bytes.
_WORTH_SHARING = 4 << 20


class ListedImages(BaseDataset):
    """Base of datasets that read an annotation file of any length.

    Annotations are arrays (:class:`Records`), read once per machine
    (:func:`share`), not a dict an image: what MMEngine's ``serialize_data`` is
    for, which therefore means nothing here.

    Args:
        ann_file (str): The file, relative to ``data_root``.
        **kwargs (Any): Arguments of mmpretrain's ``BaseDataset``.
    """

    data_list: Any

    def __init__(self, ann_file: str, **kwargs: Any) -> None:
        kwargs['serialize_data'] = False
        super().__init__(ann_file=ann_file, **kwargs)

    def ann_files(self) -> List[str]:
        """Files that are read.

        Returns:
            List[str]: ``ann_file`` first.
        """
        return [self.ann_file]

    def settings(self) -> Dict[str, Any]:
        """What else decides how the files are read.

        Returns:
            Dict[str, Any]: Settings by name.
        """
        raise NotImplementedError

    def read(self, *contents: bytes) -> Tuple[Records, Sequence[str]]:
        """Read the files.

        Args:
            *contents (bytes): Content of each of :meth:`ann_files`.

        Returns:
            Tuple[Records, Sequence[str]]: The images, and the names of the
            classes if the files tell them, else nothing.

        Raises:
            RecordError: If they are malformed.
        """
        raise NotImplementedError

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotations.

        Returns:
            Sequence[dict]: ``img_path``, ``gt_label`` and, if the file has
            lines, ``source`` of each image: the line that names it.

        Raises:
            ValueError: If the file lists nothing or is malformed. Names the
                line.
        """
        contents = [get(path) for path in self.ann_files()]

        def make() -> Dict[str, Any]:
            try:
                records, classes = self.read(*contents)
            except RecordError as error:
                raise error.inside(self.ann_file) from error
            if not len(records.labels):
                raise ValueError(f'{self.ann_file} lists no image')
            return dict(classes=list(classes), **records._asdict())

        path = ''
        if sum(map(len, contents)) < _WORTH_SHARING:
            made = make()
        else:
            settings = (type(self).__qualname__, self.settings())
            made, path = share(contents, settings, make)
        classes = made.pop('classes')
        if classes:
            self._metainfo.setdefault('classes', tuple(classes))
        return RecordList(
            Records(**made),
            self.img_prefix or self.data_root,
            self.ann_file,
            path,
        )

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Label of every image.

        Returns:
            np.ndarray: int64 (n,).
        """
        return self.data_list.records.labels.astype(np.int64)

    def _get_unserialized_subset(
        self, indices: Union[Sequence[int], int]
    ) -> Any:
        if isinstance(indices, int):
            return super()._get_unserialized_subset(indices)
        return self.data_list.take(indices)
