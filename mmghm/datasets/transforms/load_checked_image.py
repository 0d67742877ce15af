"""Images from files, with a word for those that cannot be read."""

import contextlib
import io
import logging
from typing import Any, Optional

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from PIL import Image

# How files begin, and how they end if nothing is missing.
_ENDS = {
    b'\xff\xd8\xff': b'\xff\xd9',
    b'\x89PNG': b'IEND\xaeB`\x82',
}


def check_whole(content: bytes) -> None:
    """Refuse an image file that is empty or cut off.

    OpenCV decodes what there is of a truncated JPEG or PNG file and leaves the
    rest grey.

    Args:
        content (bytes): The file.

    Raises:
        OSError: If there is nothing, or the image ends too early.
    """
    if not content:
        raise OSError('the file is empty')
    for start, end in _ENDS.items():
        if content.startswith(start) and not content.endswith(end):
            # Perhaps something follows the image: ask a slower decoder.
            with Image.open(io.BytesIO(content)) as image:
                image.load()


def check_size(content: bytes) -> None:
    """Refuse images of absurd size before they are decoded.

    OpenCV would fill gigabytes from a file of some kilobytes.

    Args:
        content (bytes): The file.

    Raises:
        Image.DecompressionBombError: If it has more than twice
            ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million) pixels.
    """
    # What Pillow does not know, or finds broken, is OpenCV's to judge.
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        Image.open(io.BytesIO(content)).close()


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """``LoadImageFromFile`` that names a broken file and the list's line.

    With ``ignore_empty=True`` a missing, empty, truncated or undecodable image
    is skipped with a warning that counts them; the dataset takes another in
    its place (``LongTailDataset`` the next of the same class).

    Arguments are those of mmcv's ``LoadImageFromFile``.
    """

    # Of this process: every dataloader worker counts its own.
    num_skipped = 0

    def transform(self, results: dict) -> Optional[dict]:
        """Read and decode an image.

        Args:
            results (dict): With ``img_path`` and, from datasets that read
                lists, ``source``, the line that names it.

        Returns:
            Optional[dict]: With ``img``, ``img_shape`` and ``ori_shape``.
            None for a broken image under ``ignore_empty``.

        Raises:
            ValueError: If the image is broken.
        """
        path = results['img_path']
        try:
            content = get(path, backend_args=self.backend_args)
            check_whole(content)
            check_size(content)
            image = mmcv.imfrombytes(
                content, flag=self.color_type, backend=self.imdecode_backend
            )
            if image is None:
                raise OSError(f'{len(content)} bytes that are no known image')
        # Pillow raises SyntaxError for broken PNG headers.
        except (
            *(OSError, SyntaxError, ValueError, cv2.error),
            Image.DecompressionBombError,
        ) as error:
            source = f' ({results["source"]})' if 'source' in results else ''
            message = f'cannot read image {path}{source}: {error}'
            if not self.ignore_empty:
                raise ValueError(
                    f'{message}; replace the file, take it off the list, or skip '
                    f'such images by {type(self).__name__}(ignore_empty=True)'
                ) from error
            self.num_skipped += 1
            print_log(
                f'Skipped {self.num_skipped} so far: {message}',
                'current',
                logging.WARNING,
            )
            return None
        if self.to_float32:
            image = image.astype(np.float32)
        shape: Any = image.shape[:2]
        return {**results, 'img': image, 'img_shape': shape, 'ori_shape': shape}
