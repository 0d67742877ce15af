"""Everything of a config that follows from somebody's images and a network."""

from typing import Any, Dict, List, NamedTuple, Optional

from mmghm.datasets.own_images import find_own_images
from mmghm.models.own_network import find_network


class OwnData(NamedTuple):
    """Parts of a config.

    Args:
        classes (List[str]): Names of the C classes.
        sources (Dict[str, str]): Where the images of each part come from.
        train_dataloader (dict): Its dataset and sampler.
        val_dataloader (dict): Its dataset.
        test_dataloader (dict): Its dataset; that of ``val_dataloader`` if
            there are no test images.
        data_preprocessor (dict): Number of classes and statistics of pixels.
        model (dict): An ``ImageClassifier`` with its loss.
    """

    classes: List[str]
    sources: Dict[str, str]
    train_dataloader: dict
    val_dataloader: dict
    test_dataloader: dict
    data_preprocessor: dict
    model: dict


def own_data(
    folder: str,
    shards: str,
    backbone: str,
    image_size: str,
    pretrained: str,
    freeze: str,
    loss: dict,
) -> OwnData:
    """Find images and network, and make a config's parts of them.

    Args:
        folder (str): See :func:`find_own_images`.
        shards (str): See :func:`find_own_images`; ``'none'`` for none.
        backbone (str): See :func:`find_network`.
        image_size (str): Height and width in pixels.
        pretrained (str): See :func:`find_network`.
        freeze (str): ``'yes'`` trains nothing but the classifier.
        loss (dict): Config of the loss, without a number of classes.

    Returns:
        OwnData: Parts of a config.

    Raises:
        UserError: If a setting or a file is wrong.
    """
    found = find_own_images(folder, '' if shards == 'none' else shards)
    network = find_network(backbone, image_size, pretrained, freeze)
    train, test = _pipelines(network.image_size)
    # All images are kept: they are long-tailed as they are.
    divided: Dict[str, Any] = dict(type='LongTailDataset', profile='none')
    if found.val is None:
        divided.update(holdout=0.1)
        val: dict = dict(
            part='holdout',
            dataset=dict(pipeline=test, **found.train),
            **divided,
        )
    else:
        val = dict(pipeline=test, **found.val)
    train_dataloader: Dict[str, Any] = dict(
        dataset=dict(dataset=dict(pipeline=train, **found.train), **divided)
    )
    if found.train['type'] == 'ImageShards':
        train_dataloader['sampler'] = dict(_delete_=True, type='ShardSampler')
    num_classes = len(found.classes)
    head = dict(
        **network.model['head'],
        num_classes=num_classes,
        topk=(1,),
        loss=dict(num_classes=num_classes, **loss),
    )
    return OwnData(
        found.classes,
        found.sources,
        train_dataloader,
        dict(dataset=val),
        dict(dataset=_test_set(found.test, test) or val),
        dict(num_classes=num_classes, **network.pixels),
        dict(network.model, head=head),
    )


def _test_set(found: Optional[dict], pipeline: List[dict]) -> Optional[dict]:
    return found and dict(pipeline=pipeline, **found)


def _pipelines(image_size: int) -> List[List[dict]]:
    """Of training and of testing."""
    return [
        [
            dict(type='LoadCheckedImage'),
            dict(type='RandomResizedCrop', scale=image_size),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
        [
            dict(type='LoadCheckedImage'),
            # 256 for 224.
            dict(
                type='ResizeEdge', scale=round(image_size * 8 / 7), edge='short'
            ),
            dict(type='CenterCrop', crop_size=image_size),
            dict(type='PackInputs'),
        ],
    ]
