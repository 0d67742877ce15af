"""Groups of classes are the same while training and when testing."""

import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import Dataset


def balanced(dataset):
    return dict(
        type='ClassBalancedDataset', oversample_thr=0.3, dataset=dataset
    )


def concatenated(dataset):
    """Another long tail, the last class the largest, before the first."""
    other = dict(
        dataset,
        class_counts=[7, 10, 14, 19, 27, 37, 52, 73, 102, 143],
        imbalance_factor=1,
    )
    return dict(
        type='ConcatDataset',
        datasets=[other, dataset],
        ignore_keys='class_counts',
    )


@pytest.mark.parametrize('wrap', [balanced, concatenated])
def test_groups_by_the_images_that_there_are(digits_cfg, wrap):
    cfg = digits_cfg(max_epochs=1)
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset.to_dict())
    runner = Runner.from_cfg(Config(cfg.to_dict()))
    runner.train()
    trained = {
        key: runner.message_hub.get_scalar(f'val/{key}').current()
        for key in ('group/quartile/rare/top1', 'group/kang/few/top1')
        if f'val/{key}' in runner.message_hub.log_scalars
    }
    counts = runner.message_hub.get_info('class_counts')
    expected = [143, 102, 73, 52, 37, 27, 19, 14, 10, 7]
    if wrap is concatenated:
        expected = [a + b for a, b in zip(expected, expected[::-1])]
    assert counts == pytest.approx(expected, abs=4)

    cfg.experiment_name += '_test'
    cfg.load_from = f'{cfg.work_dir}/epoch_1.pth'
    # Not from the config: from what was saved with the run.
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = None
    cfg.param_scheduler = None
    tester = Runner.from_cfg(cfg)
    tested = tester.test()
    assert tester.message_hub.get_info('class_counts') == counts
    assert trained and os.path.exists(cfg.load_from)
    assert {key: tested[key] for key in trained} == pytest.approx(trained)


@pytest.mark.parametrize(
    'batch_size, drop_last, warned',
    # Of 482 images: 2 of 60, 34 of 64, and a batch of all.
    [(60, False, True), (60, True, False), (64, False, False)],
)
def test_a_tiny_last_batch_is_told(digits_cfg, batch_size, drop_last, warned):
    cfg = digits_cfg(max_epochs=1)
    cfg.train_dataloader.update(batch_size=batch_size, drop_last=drop_last)
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    text = 'The last batch of an epoch has 2 of 60 images'
    assert (text in log.read_text()) == warned


@DATASETS.register_module()
class NamelessDigits(Dataset):
    """Images whose labels nobody can list."""

    def __init__(self, dataset):
        self.images = DATASETS.build(dataset)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def test_counts_that_nobody_knows_can_be_given(digits_cfg):
    counts = [143, 102, 73, 52, 37, 27, 19, 14, 10, 7]
    cfg = digits_cfg(max_epochs=1)
    cfg.train_dataloader.dataset = dict(
        type='NamelessDigits', dataset=cfg.train_dataloader.dataset
    )
    cfg.model.head.loss.class_counts = counts
    cfg.val_evaluator = dict(type='GroupAccuracy', class_counts=counts)
    cfg.custom_hooks = [dict(type='ClassCountsHook')]
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert 'val/group/quartile/rare/top1' in runner.message_hub.log_scalars
