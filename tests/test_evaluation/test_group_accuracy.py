import csv
import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub

from mmghm.evaluation import GroupAccuracy, group_classes
from mmghm.visualization.tables import group_table


def evaluate(scores, labels, **kwargs):
    metric = GroupAccuracy(**kwargs)
    evaluator = Evaluator(metric)
    samples = [
        dict(
            pred_score=s,
            pred_label=s.argmax(0, keepdim=True),
            gt_label=torch.tensor([y]),
        )
        for s, y in zip(scores, labels)
    ]
    evaluator.process(samples[:7])
    evaluator.process(samples[7:])
    return evaluator.evaluate(len(samples)), metric


def test_equals_a_plain_computation():
    torch.manual_seed(0)
    counts = [500, 300, 101, 100, 60, 20, 19, 1]
    scores, labels = torch.randn(400, 8), torch.randint(8, (400,)).tolist()
    result, metric = evaluate(
        scores,
        labels,
        topk=(1, 3),
        groups=['quartile', 'kang', (300, 20)],
        class_counts=counts,
    )

    def accuracy(classes, k):
        per_class = []
        for c in classes:
            hits = [
                y in s.topk(k).indices.tolist()
                for s, y in zip(scores, labels)
                if y == c
            ]
            per_class.append(100 * sum(hits) / len(hits))
        return per_class

    for k in (1, 3):
        per_class = accuracy(range(8), k)
        hits = sum(
            y in s.topk(k).indices.tolist() for s, y in zip(scores, labels)
        )
        expected = {
            'overall': 100 * hits / 400,
            'macro': np.mean(per_class),
            'worst_class': min(per_class),
            'quartile/many': np.mean(per_class[:2]),
            'quartile/medium': np.mean(per_class[2:4]),
            'quartile/few': np.mean(per_class[4:6]),
            'quartile/rare': np.mean(per_class[6:]),
            'kang/many': np.mean(per_class[:3]),
            'kang/medium': np.mean(per_class[3:6]),
            'kang/few': np.mean(per_class[6:]),
            'bounds_300_20/>=300': np.mean(per_class[:2]),
            'bounds_300_20/20..299': np.mean(per_class[2:6]),
            'bounds_300_20/<20': np.mean(per_class[6:]),
        }
        for name, value in expected.items():
            assert result[f'group/{name}/top{k}'] == pytest.approx(value)
    assert len(result) == 26
    assert 'quartile' in group_table(metric)


def test_quartiles_are_by_rank_whatever_the_order():
    _, groups = group_classes(np.array([1, 50, 3, 50, 7, 2]), 'quartile')
    assert {k: v.tolist() for k, v in groups.items()} == {
        'many': [1, 3],
        'medium': [2, 4],
        'few': [5],
        'rare': [0],
    }


def test_real_imagenet_lt_groups(request):
    path = (
        request.config.rootpath.parent
        / 'shared/data/imagenet_lt_train_counts.json'
    )
    if not path.exists():
        pytest.skip('the train counts of ImageNet-LT are not at hand')
    counts = np.array(json.loads(path.read_text())['counts'])
    _, groups = group_classes(counts, 'kang')
    assert [len(g) for g in groups.values()] == [385, 479, 136]


def test_counts_come_from_the_run():
    hub = MessageHub.get_current_instance()
    with pytest.raises(ValueError, match='ClassCountsHook'):
        evaluate(torch.eye(2), [0, 1])
    hub.update_info('class_counts', [9, 1])
    result, _ = evaluate(torch.eye(2), [0, 1])
    assert result['group/overall/top1'] == 100


def test_untested_classes_and_empty_groups_are_left_out():
    result, _ = evaluate(
        torch.eye(4)[:2], [0, 1], groups='kang', class_counts=[500, 300, 50, 1]
    )
    assert set(result) == {
        f'group/{n}/top1'
        for n in ('overall', 'macro', 'worst_class', 'kang/many')
    }


@pytest.mark.parametrize('ending', ['csv', 'json'])
def test_per_class_file(tmp_path, ending):
    path = tmp_path / f'classes.{ending}'
    scores = torch.tensor([[2.0, 1, 0], [2, 1, 0]])
    evaluate(
        scores,
        [0, 1],
        topk=(1, 2),
        class_counts=[7, 5, 3],
        per_class_file=str(path),
    )
    text = path.read_text()
    rows = (
        list(csv.DictReader(text.splitlines()))
        if ending == 'csv'
        else json.loads(text)
    )
    assert [float(r['top1']) for r in rows[:2]] == [100, 0]
    assert [float(r['top2']) for r in rows[:2]] == [100, 100]
    assert [int(r['train_images']) for r in rows] == [7, 5, 3]
    assert rows[2]['top1'] in ('', None)


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(groups='octile'), "got 'octile'"),
        (dict(groups=(20, 100)), 'fall'),
        (dict(topk=0), 'topk'),
        (dict(per_class_file='x.txt'), '.csv or .json'),
    ],
)
def test_refuses_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        GroupAccuracy(**kwargs)
