import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.registry import DATASETS
from mmpretrain.datasets import CustomDataset

from mmghm.datasets import (
    Digits,
    InMemoryDataset,
    InMemoryImageFolder,
    LongTailDataset,
    choose_long_tail,
    dataset_class_counts,
    flip_labels,
    profile_counts,
)


@pytest.mark.parametrize(
    'classes, size, factor, total',
    [
        (10, 5000, 10, 20431),
        (10, 5000, 50, 13996),
        (10, 5000, 100, 12406),
        (10, 5000, 200, 11203),
        (10, 5000, 500, 10011),
        (100, 500, 10, 19573),
        (100, 500, 50, 12608),
        (100, 500, 100, 10847),
        (100, 500, 200, 9502),
        (100, 500, 500, 8155),
        (200, 500, 10, 39072),
        (200, 500, 50, 25082),
        (200, 500, 100, 21549),
        (200, 500, 200, 18836),
        (200, 500, 500, 16132),
        (1000, 1300, 100, 279350),
    ],
)
def test_totals_of_the_published_sets(classes, size, factor, total):
    counts = profile_counts(np.full(classes, size), 'exp', factor)
    assert counts.sum() == total


@settings(deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 10**6),
    st.floats(1, 1000),
    st.sampled_from(['exp', 'step', 'pareto']),
)
def test_profiles_fall_from_head_to_tail(classes, size, factor, profile):
    counts = profile_counts(np.full(classes, size), profile, factor)
    assert counts[0] == size and (np.diff(counts) <= 0).all()
    if classes > 1:
        assert counts[-1] == pytest.approx(size / factor, abs=1.001)


def test_is_deterministic_and_nested():
    sets = {
        f: LongTailDataset(Digits(split='train'), f) for f in (1, 5, 20, 50)
    }
    ids = {f: set(s.manifest()['ids']) for f, s in sets.items()}
    assert ids[50] < ids[20] < ids[5] < ids[1]
    again = LongTailDataset(Digits(split='train'), 20)
    assert again.manifest() == sets[20].manifest()
    # Pinned: the choice must never change between platforms and versions.
    assert again.manifest()['sha256'].startswith('6f6f7d3c')
    other = LongTailDataset(Digits(split='train'), 20, seed=1)
    assert other.manifest()['sha256'] != again.manifest()['sha256']


def test_behaves_like_a_dataset(tmp_path):
    base = Digits(split='train')
    data = LongTailDataset(base, 20, lazy_init=True)
    assert data.metainfo['classes'][3] == '3'
    assert len(data) == 482
    labels = data.get_gt_labels()
    assert (
        np.bincount(labels).tolist()
        == data.class_counts.tolist()
        == data.metainfo['class_counts']
    )
    for i in (0, 100, -1):
        assert data.get_cat_ids(i) == [labels[i]]
        assert data.get_data_info(i)['gt_label'] == labels[i]
        assert data[i]['gt_label'] == labels[i]
    manifest = data.manifest(str(tmp_path / 'm.json'))
    assert json.loads((tmp_path / 'm.json').read_text()) == manifest


@pytest.mark.parametrize(
    'wrap, factor',
    [
        # Images that are shown more often are no more images.
        (lambda d: RepeatDataset(d, times=2), 1),
        (lambda d: ClassBalancedDataset(d, oversample_thr=0.2), 1),
        (lambda d: ConcatDataset([d, d]), 2),
    ],
)
def test_class_counts_of_wrapped_datasets(wrap, factor):
    cfg = dict(
        type='LongTailDataset',
        imbalance_factor=20,
        dataset=dict(type='mmpretrain.Digits', split='train'),
    )
    tail = DATASETS.build(cfg)
    counts = dataset_class_counts(wrap(cfg))
    assert counts.tolist() == (factor * tail.class_counts).tolist()


def test_absent_last_class_does_not_shorten_the_counts():
    data = LongTailDataset(Digits(split='train'), class_counts={'9': 0, '3': 5})
    assert data.class_counts.tolist() == [143] * 3 + [5] + [143] * 5 + [0]
    assert len(dataset_class_counts(data, num_classes=12)) == 12


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(imbalance_factor=0.5), 'at least 1, got 0.5'),
        (dict(profile='linear'), "profile must be one of .* got 'linear'"),
        (
            dict(class_counts=[200] + [1] * 9),
            'class 0 .0. has 143 images, but 200',
        ),
        (dict(class_counts=[1, 2]), 'one entry for each of the 10'),
        (dict(class_counts={'cat': 3}), "unknown class 'cat'"),
        (dict(class_counts=[-1] + [1] * 9), 'integers of at least 0'),
        (dict(class_counts={'0': 2.7}), "got 2.7 for '0'"),
        (dict(seed=-1), 'seed'),
    ],
)
def test_refuses_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        LongTailDataset(Digits(split='train'), **kwargs)


def test_cap_gives_what_there_is():
    data = LongTailDataset(
        Digits(split='train'), class_counts=[200] + [1] * 9, cap=True
    )
    assert data.class_counts[0] == 143


def test_large_choice_is_fast_and_right():
    labels = np.random.default_rng(0).integers(0, 1000, 1_280_000)
    counts = profile_counts(np.bincount(labels), 'exp', 100)
    counts = np.minimum(counts, np.bincount(labels))
    chosen = choose_long_tail(labels, counts, seed=0)
    assert np.bincount(labels[chosen]).tolist() == counts.tolist()
    assert (np.diff(chosen) > 0).all()


def test_digits_splits():
    train, test = Digits(split='train'), Digits(split='test')
    assert len(train) + len(test) == 1797
    assert set(dataset_class_counts(train)) == {143}
    assert train[0]['img'].shape == (8, 8, 1)
    images = {train[i]['img'].tobytes() for i in range(len(train))}
    assert not images & {test[i]['img'].tobytes() for i in range(len(test))}
    with pytest.raises(ValueError, match='split'):
        Digits(split='val')


@pytest.mark.slow
def test_image_folder_equals_mmpretrain(cifar10_folder):
    ours = InMemoryImageFolder(data_root=str(cifar10_folder / 'test'))
    theirs = CustomDataset(
        data_root=str(cifar10_folder / 'test'),
        extensions=('.webp',),
        pipeline=[dict(type='LoadImageFromFile', color_type='color')],
    )
    assert len(ours) == len(theirs) == 10000
    for i in (0, 5000, 9999):
        assert (ours[i]['img'] == theirs[i]['img'][..., ::-1]).all()
        assert ours[i]['gt_label'] == theirs[i]['gt_label']
    assert ours.metainfo['classes'][0] == 'airplane'


def test_image_folder_names_an_undecodable_file(tmp_path):
    (tmp_path / 'cat').mkdir()
    (tmp_path / 'cat' / 'broken.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'cannot read image .*broken\.png'):
        InMemoryImageFolder(data_root=str(tmp_path))


def test_held_out_part_is_disjoint_and_stratified():
    kwargs = dict(imbalance_factor=20, holdout=0.2)
    whole = LongTailDataset(Digits(split='train'), imbalance_factor=20)
    train = LongTailDataset(Digits(split='train'), **kwargs)
    held = LongTailDataset(Digits(split='train'), part='holdout', **kwargs)
    ids = [set(d.manifest()['ids']) for d in (whole, train, held)]
    assert ids[1] | ids[2] == ids[0] and not ids[1] & ids[2]
    expected = np.maximum(np.round(0.2 * whole.class_counts), 1)
    assert held.class_counts.tolist() == expected.tolist()
    assert (train.class_counts + held.class_counts).tolist() == (
        whole.class_counts.tolist()
    )


def test_a_balanced_part_can_be_held_out_of_the_pool():
    part = dict(dataset=Digits(split='train'), profile='none', holdout=40)
    held = LongTailDataset(part='holdout', **part)
    rest = LongTailDataset(**part)
    tail = LongTailDataset(rest, class_counts=range(100, 0, -10))
    assert held.class_counts.tolist() == [40] * 10
    assert tail.class_counts.tolist() == list(range(100, 0, -10))
    # Ids are those of the pool, through both wrappers.
    held_ids, tail_ids = (set(d.manifest()['ids']) for d in (held, tail))
    assert len(held_ids) == 400 and len(tail_ids) == len(tail)
    assert not held_ids & tail_ids


@pytest.mark.parametrize(
    'kwargs', [dict(holdout=1.0), dict(part='val'), dict(part='holdout')]
)
def test_refuses_bad_parts(kwargs):
    with pytest.raises(ValueError, match=r'must be|needs'):
        LongTailDataset(Digits(split='train'), **kwargs)


def test_a_single_image_is_not_held_out():
    data = LongTailDataset(
        Digits(split='train'), class_counts=[9] * 9 + [1], holdout=0.5
    )
    assert data.class_counts[-1] == 1


def test_symmetric_noise_changes_the_stated_share_of_each_class():
    labels = np.repeat(np.arange(4), [1000, 500, 21, 1])
    noisy = flip_labels(labels, 4, 0.3, seed=1)
    wrong = np.bincount(labels[noisy != labels], minlength=4)
    assert wrong.tolist() == [300, 150, 6, 0]
    # To each other class alike: 100 ± 3 deviations of the head's 300.
    received = np.bincount(noisy[(labels == 0) & (noisy != 0)], minlength=4)
    assert received[0] == 0 and (abs(received[1:] - 100) < 25).all()
    assert (flip_labels(labels, 4, 0.3, seed=1) == noisy).all()
    assert (flip_labels(labels, 4, 0.3, seed=2) != noisy).any()
    assert (flip_labels(labels, 4, 0.0) == labels).all()


def test_noise_by_pairs_goes_to_the_next_class():
    labels = np.repeat(np.arange(3), 10)
    noisy = flip_labels(labels, 3, 0.2, kind='pairs')
    wrong = noisy != labels
    assert wrong.sum() == 6
    assert (noisy[wrong] == (labels[wrong] + 1) % 3).all()


@pytest.mark.parametrize('part', ['train', 'holdout'])
def test_label_noise_reaches_everything_that_hands_out_labels(part):
    noise = dict(rate=0.4, seed=3)
    options = dict(imbalance_factor=20, holdout=0.3, part=part)
    base = Digits(split='train')
    clean = LongTailDataset(base, **options)
    data = LongTailDataset(base, **options, label_noise=noise)
    labels = data.get_gt_labels()
    before = clean.get_gt_labels()
    assert 0.3 < (labels != before).mean() < 0.5
    counts = np.bincount(labels, minlength=10).tolist()
    assert data.class_counts.tolist() == counts
    assert data.metainfo['class_counts'] == counts
    packed = dict(type='mmpretrain.PackInputs', input_key='img')
    for pipeline in ([], [packed]):
        source = Digits(split='train', pipeline=pipeline)
        noisy = LongTailDataset(source, **options, label_noise=noise)
        for i in (0, 7, -1):
            item = noisy[i]
            if pipeline:
                assert item['data_samples'].gt_label.item() == labels[i]
            else:
                assert item['gt_label'] == labels[i]
            assert noisy.get_data_info(i)['gt_label'] == labels[i]
            assert noisy.get_cat_ids(i) == [labels[i]]
    held = LongTailDataset(InMemoryDataset(base), **options, label_noise=noise)
    batch = held.__getitems__([4, 0, 9])
    assert batch['labels'].tolist() == labels[[4, 0, 9]].tolist()
    images = clean.dataset[int(clean.indices[4])]['img']
    assert (batch['inputs'][0, 0].numpy() == images.reshape(8, 8)).all()
    # The wrapped dataset keeps its own labels.
    assert base[int(data.indices[0])]['gt_label'] == before[0]


def test_the_manifest_records_the_noise():
    base = Digits(split='train')
    clean = LongTailDataset(base, 20).manifest()
    noise = dict(rate=0.2, kind='pairs', seed=0)
    noisy = LongTailDataset(base, 20, label_noise=noise).manifest()
    assert 'label_noise' not in clean
    assert noisy['label_noise'] == noise
    assert noisy['clean_labels'] == clean['labels']
    assert noisy['sha256'] != clean['sha256']


@pytest.mark.parametrize(
    'noise, error, match',
    [
        (dict(rate=1.0), ValueError, r'\[0, 1\), got 1.0'),
        (dict(rate=0.1, kind='all'), ValueError, "symmetric.* got 'all'"),
        (dict(kind='pairs'), TypeError, 'rate'),
    ],
)
def test_refuses_bad_noise(noise, error, match):
    with pytest.raises(error, match=match):
        LongTailDataset(
            Digits(split='train'), label_noise=noise, lazy_init=True
        )


def test_noise_says_which_items_it_can_relabel():
    class Pairs(Digits):
        def prepare_data(self, idx):
            return 'image', 0

    data = LongTailDataset(Pairs(split='train'), label_noise=dict(rate=0.5))
    with pytest.raises(TypeError, match='got tuple'):
        data[0]
