"""Images from files, with a word for those that cannot be read."""

import contextlib
import io
import logging
import warnings
from typing import Any, Optional, Tuple

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from mmengine.logging import print_log
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmghm.utils.errors import UserError

# How files begin, and how they end if nothing is missing.
_ENDS = {b'\xff\xd8\xff': b'\xff\xd9', b'\x89PNG': b'IEND\xaeB`\x82'}


def check_whole(content: bytes) -> None:
    """Raise an ``OSError`` for an image file that is empty or cut off.

    OpenCV decodes what there is of a truncated JPEG or PNG file and leaves the
    rest grey.
    """
    if not content:
        raise OSError('the file is empty')
    for start, end in _ENDS.items():
        if content.startswith(start) and not content.endswith(end):
            # Perhaps something follows the image: ask a slower decoder.
            with Image.open(io.BytesIO(content)) as image:
                image.load()


def check_size(content: bytes) -> None:
    """Raise a ``DecompressionBombError`` for an image of absurd size.

    That is twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million): OpenCV would
    fill gigabytes from a file of some kilobytes.
    """
    # OpenCV decides about what Pillow does not know or finds broken.
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        Image.open(io.BytesIO(content)).close()


def _may_have_16_bits(content: bytes) -> bool:
    """Whether a file is a PNG that says so, or a TIFF."""
    if content.startswith(b'\x89PNG'):
        return content[24:25] == b'\x10'
    return content.startswith((b'II*\0', b'MM\0*'))


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """``LoadImageFromFile`` that names a broken file and the list's line.

    With ``ignore_empty=True`` a missing, empty, truncated or undecodable image
    is skipped with a warning that counts them; the dataset takes another in
    its place (``LongTailDataset`` the next of the same class).

    Args:
        *args (Any): Arguments of mmcv's ``LoadImageFromFile``.
        value_range (Optional[Tuple[float, float]]): Values that become 0 and
            255 in images of 16 bits; by default (0, 65535), which leaves
            those of a camera with 12 bits nearly black.
        **kwargs (Any): Arguments of mmcv's ``LoadImageFromFile``.

    Raises:
        UserError: If the range is empty.
    """

    # Of this process: every dataloader worker counts its own.
    num_skipped = 0
    warned_of_dark = False

    def __init__(
        self,
        *args: Any,
        value_range: Optional[Tuple[float, float]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if value_range is not None:
            low, high = value_range
            if not low < high:
                raise UserError(
                    f'value_range must be (low, high), got {value_range}'
                )
        self.value_range = value_range

    def transform(self, results: dict) -> Optional[dict]:
        """Read an image; None for a broken one under ``ignore_empty``."""
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
            if _may_have_16_bits(content):
                image = self._scale(content, image, path)
        # Pillow raises SyntaxError for broken PNG headers.
        except (
            *(OSError, SyntaxError, ValueError, cv2.error),
            Image.DecompressionBombError,
        ) as error:
            source = f' ({results["source"]})' if 'source' in results else ''
            message = f'cannot read image {path}{source}: {error}'
            if not self.ignore_empty:
                raise UserError(
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

    def _scale(
        self, content: bytes, image: np.ndarray, path: str
    ) -> np.ndarray:
        """Take the range of values from an image, if it has 16 bits."""
        raw = cv2.imdecode(
            np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED
        )
        if raw is None or raw.dtype != np.uint16:
            return image
        if self.value_range is None:
            largest = int(raw.max())
            if largest < 2**14 and not self.warned_of_dark:
                type(self).warned_of_dark = True
                warnings.warn(
                    f'{path} has 16 bits, but its largest value is '
                    f'{largest:,}: it is read as nearly black, 0 to '
                    f'{largest >> 8} of 255. For images of 12 bits give '
                    f'{type(self).__name__}(value_range=(0, 4095))'
                )
            return image
        low, high = self.value_range
        scaled = (raw.astype(np.float32) - low) * (255 / (high - low))
        # To the channels that the settings ask for, as 8 bits.
        _, png = cv2.imencode('.png', scaled.clip(0, 255).round().astype('u1'))
        return mmcv.imfrombytes(
            png.tobytes(), flag=self.color_type, backend=self.imdecode_backend
        )
