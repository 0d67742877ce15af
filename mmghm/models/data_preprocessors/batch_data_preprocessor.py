"""Augmentation, normalisation and packing of whole batches."""

from typing import Any, Dict

import torch
import torch.nn.functional as F
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from mmghm.utils.validation import check_integer, check_number


def random_crop_flip(images: Tensor, padding: int, flip_prob: float) -> Tensor:
    """Crop each image (B, channels, H, W) at a random place, and mirror some.

    As mmpretrain's ``RandomCrop(padding=...)``, with zeros, and ``RandomFlip``,
    but all images of a batch by one gather, in channels-last order.
    (torchvision's v2 transforms draw one place for a whole batch.)
    """
    number, _, height, width = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    offset = torch.randint(2 * padding + 1, (2, number, 1), device=device)
    rows = torch.arange(height, device=device) + offset[0]
    columns = torch.arange(width, device=device) + offset[1]
    flipped = torch.rand(number, 1, device=device) < flip_prob
    columns = torch.where(flipped, columns.flip(1), columns)
    image = torch.arange(number, device=device)[:, None, None]
    cropped = padded[image, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


@MODELS.register_module()
class BatchDataPreprocessor(ClsDataPreprocessor):
    """Data preprocessor that augments whole batches on the device.

    Takes the place of the random transforms of a pipeline, of ``PackInputs``
    and of ``ClsDataPreprocessor`` for batches of ``InMemoryDataset``. Images
    come out in channels-last order.

    In training the labels of a batch travel in a single ``DataSample`` of B
    labels, which mmpretrain's heads concatenate like B samples of one.

    Args:
        crop_padding (int): Zeros around an image before it is cropped to its
            size at a random place; 0 does not crop.
        flip_prob (float): Share of the images that are mirrored.
        **kwargs (Any): Arguments of mmpretrain's ``ClsDataPreprocessor``:
            ``mean``, ``std``, ``to_rgb``, ``num_classes``,
            ``batch_augments`` (Mixup, CutMix).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is outside its range.
    """

    def __init__(
        self, crop_padding: int = 0, flip_prob: float = 0.0, **kwargs: Any
    ) -> None:
        check_integer('crop_padding', crop_padding, minimum=0)
        check_number('flip_prob', flip_prob, minimum=0, maximum=1)
        super().__init__(**kwargs)
        self.crop_padding = crop_padding
        self.flip_prob = flip_prob
        # Batches that are not on the device yet lie in pinned memory.
        self._non_blocking = True

    def forward(self, data: dict, training: bool = False) -> Dict[str, Any]:
        """Make a batch of ``InMemoryDataset`` what the classifier takes."""
        if 'labels' not in data:
            raise TypeError(
                'BatchDataPreprocessor takes batches of an InMemoryDataset, got '
                f'a dict of {", ".join(map(repr, data))}; set the dataset, '
                "num_workers=0 and collate_fn=dict(type='keep_batch') of the "
                'dataloader, or use ClsDataPreprocessor'
            )
        images, labels = self.cast_data(data['inputs']), data['labels']
        if training and (self.crop_padding or self.flip_prob):
            images = random_crop_flip(images, self.crop_padding, self.flip_prob)
        inputs = super().forward(dict(inputs=images))['inputs']
        if not training:
            samples = [DataSample().set_gt_label(i) for i in labels.tolist()]
            return dict(inputs=inputs, data_samples=samples)
        labels = self.cast_data(labels)
        if not self.to_onehot:
            samples = [DataSample().set_gt_label(labels)]
            return dict(inputs=inputs, data_samples=samples)
        shares = F.one_hot(labels, self.num_classes).float()
        if self.batch_augments is not None:
            inputs, shares = self.batch_augments(inputs, shares)
        samples = [DataSample().set_gt_score(share) for share in shares]
        return dict(inputs=inputs, data_samples=samples)
