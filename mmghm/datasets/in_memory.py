"""Sets of small images that fit into memory, handed out by whole batches."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.dataset import force_full_init
from mmengine.device import get_device
from mmengine.registry import DATASETS, FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info

from mmghm.utils.errors import UserError
from mmghm.utils.progress import tracked

from .class_counts import dataset_labels

# Decoding shorter than this needs no progress bar.
_MANY_IMAGES = 20_000


@DATASETS.register_module()
class InMemoryDataset:
    """Wrapper that decodes every image once, into one uint8 tensor.

    ``torch.utils.data.DataLoader`` then fetches a batch by one indexing
    operation (``__getitems__``) instead of one Python call an image.
    Samplers, seeds, sharding over ranks and ``drop_last`` stay the loader's.
    Goes with ``num_workers=0``, ``collate_fn=dict(type='keep_batch')`` and
    ``BatchDataPreprocessor``, which augments the batch; inside
    ``LongTailDataset`` or around it.

    Args:
        dataset (Union[Any, dict]): The dataset, or its config. Its pipeline
            must end with ``img``, uint8 (H, W, channels), of one size, with
            nothing random: ``pipeline=[]`` if the dataset holds decoded
            images, else a transform that loads (and resizes) them.
        device (str): Where the images lie: ``'auto'`` takes the accelerator if
            they fill at most a quarter of its free memory, else the CPU.
        lazy_init (bool): Whether to leave decoding to :meth:`full_init`.

    Raises:
        TypeError: If an item has no uint8 ``img``.
        ValueError: If the images are not of one size, or there are none.

    Examples:
        >>> from mmghm.datasets import InMemoryDataset, Digits
        >>> digits = InMemoryDataset(Digits(split='train'))
        >>> batch = digits.__getitems__([0, 5, 7])
        >>> batch['inputs'].shape, batch['labels'].tolist()
        (torch.Size([3, 1, 8, 8]), [0, 5, 7])
    """

    def __init__(
        self,
        dataset: Union[Any, dict],
        device: str = 'auto',
        lazy_init: bool = False,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        self.dataset: Any = dataset
        self.device = device
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Decode the images."""
        if self._fully_initialized:
            return
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        self._labels = dataset_labels(self.dataset)
        images = self._decode()
        device = self.device
        if device == 'auto':
            device = 'cpu'
            if get_device() == 'cuda':
                free, _ = torch.cuda.mem_get_info()
                device = 'cuda' if images.numel() <= free / 4 else 'cpu'
        self._images = images.to(device)
        self._targets = torch.from_numpy(self._labels).to(device)
        self._fully_initialized = True

    def _decode(self) -> Tensor:
        """Decode into (n, H, W, channels), the order of channels-last."""
        number = len(self.dataset)
        if number == 0:
            raise UserError(
                f'{type(self.dataset).__name__} has no images to decode'
            )
        first = self._image(0)
        images = np.empty((number, *first.shape), dtype=np.uint8)

        def decode(idx: int) -> None:
            image = self._image(idx)
            if image.shape != first.shape:
                raise UserError(
                    f'InMemoryDataset needs images of one size: image {idx} has '
                    f'shape {image.shape}, image 0 {first.shape}; add a '
                    'transform that resizes to the pipeline of the wrapped '
                    'dataset, or use the stock dataloader'
                )
            images[idx] = image

        # Decoders release the interpreter's lock.
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tracked(
                pool.map(decode, range(number), chunksize=256),
                'Decoding images',
                total=number,
                disable=number < _MANY_IMAGES,
            ) as done,
        ):
            for _ in done:
                pass
        return torch.from_numpy(images)

    def _image(self, idx: int) -> np.ndarray:
        data = self.dataset[idx]
        image = data.get('img') if isinstance(data, dict) else None
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, 'dtype', type(image).__name__)
            raise TypeError(
                "InMemoryDataset needs an 'img' of dtype uint8 in each item, "
                f'got {kind}; end the pipeline of the wrapped dataset before '
                'PackInputs: pipeline=[] for images in memory, '
                "[dict(type='LoadCheckedImage')] for files"
            )
        return image if image.ndim == 3 else image[..., None]

    @property
    def metainfo(self) -> dict:
        """Metainfo of the wrapped dataset."""
        return getattr(self.dataset, 'metainfo', {})

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """Label of every image, int64 (n,)."""
        return self._labels.copy()

    @force_full_init
    def get_cat_ids(self, idx: int) -> List[int]:
        """Label of one image in a list, as MMEngine's wrappers ask for it."""
        return [int(self._labels[idx])]

    def get_data_info(self, idx: int) -> dict:
        """What the wrapped dataset says of one image."""
        return self.dataset.get_data_info(idx)

    @force_full_init
    def __getitems__(self, indices: Sequence[int]) -> Dict[str, Tensor]:
        """Fetch a batch of B images by their indices.

        ``inputs`` are uint8 (B, channels, H, W) in channels-last order,
        ``labels`` int64 (B,); both lie where the images lie, or in pinned
        memory for an accelerator.
        """
        on_cpu = self._images.device.type == 'cpu'
        if not on_cpu and get_worker_info() is not None:
            raise RuntimeError(
                'InMemoryDataset holds its images on the accelerator, where '
                'worker processes cannot reach them; set num_workers=0'
            )
        index = torch.as_tensor(np.asarray(indices)).to(
            self._images.device, non_blocking=True
        )
        images, labels = self._images[index], self._targets[index]
        if on_cpu and torch.cuda.is_available() and get_worker_info() is None:
            images, labels = images.pin_memory(), labels.pin_memory()
        return dict(inputs=images.permute(0, 3, 1, 2), labels=labels)

    @force_full_init
    def __getitem__(self, idx: int) -> Dict[str, Any]:
        image = self._images[idx].cpu().numpy()
        return dict(img=image, gt_label=int(self._labels[idx]), sample_idx=idx)

    @force_full_init
    def __len__(self) -> int:
        return len(self._labels)


@FUNCTIONS.register_module()
def keep_batch(batch: Any, _scope_: Optional[str] = None) -> Dict[str, Tensor]:
    """Collate a batch that is one already.

    Args:
        batch (Any): What ``InMemoryDataset.__getitems__`` returned.
        _scope_ (Optional[str]): What MMEngine adds to every setting of a config
            that was inherited from another package; not used.

    Returns:
        Dict[str, Tensor]: The same.

    Raises:
        TypeError: If the dataset handed out single items.
    """
    if not isinstance(batch, dict) or 'inputs' not in batch:
        raise TypeError(
            'keep_batch got single items: it goes with an InMemoryDataset, '
            'inside LongTailDataset or around it, and no other wrapper'
        )
    return batch
