"""Everything of a config that follows from somebody's images and a network."""

import os
from typing import Any, Dict, List

from mmghm.datasets.own_images import find_own_images
from mmghm.models.own_network import find_network


def own_data(backbone: str, freeze: str, loss: dict) -> Dict[str, Any]:
    """Make a config's parts of the images and the network that are asked for.

    The environment decides (``DATA_ROOT``, ``SHARDS``, and in capitals
    :data:`~mmghm.engine.configs.SETTINGS`), the arguments where it says nothing.

    Args:
        backbone (str): See :func:`find_network`.
        freeze (str): ``'yes'`` trains nothing but the classifier.
        loss (dict): Config of the loss, without a number of classes.

    Returns:
        Dict[str, Any]: ``train_dataloader``, ``val_dataloader`` (a tenth of
        the train images if there are no others), ``test_dataloader`` (that of
        validation if there are no test images), ``data_preprocessor``,
        ``model``; names of the ``classes``; ``sources``, where the images of
        each part come from; and the settings.

    Raises:
        UserError: If a setting or a file is wrong.
    """
    settings = dict(
        backbone=os.environ.get('BACKBONE', backbone),
        image_size=os.environ.get('IMAGE_SIZE', '224'),
        pretrained=os.environ.get('PRETRAINED', 'default'),
        freeze=os.environ.get('FREEZE', freeze),
    )
    found = find_own_images(
        os.environ.get('DATA_ROOT', 'data/own'), os.environ.get('SHARDS', '')
    )
    network = find_network(*settings.values())
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
    tested = val if found.test is None else dict(pipeline=test, **found.test)
    return dict(
        settings,
        classes=found.classes,
        sources=found.sources,
        train_dataloader=train_dataloader,
        val_dataloader=dict(dataset=val),
        test_dataloader=dict(dataset=tested),
        val_evaluator=dict(topk=1),
        test_evaluator=dict(topk=1),
        data_preprocessor=dict(num_classes=num_classes, **network.pixels),
        model=dict(network.model, head=head),
    )


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
