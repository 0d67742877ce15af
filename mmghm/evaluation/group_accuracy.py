"""Accuracy by groups of classes, for models trained on long tails."""

import csv
import json
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub
from mmengine.registry import METRICS

from mmghm.utils.errors import UserError

from .groups import GroupRule, group_classes


@METRICS.register_module()
class GroupAccuracy(BaseMetric):
    """Top-k accuracy overall, per class group, and of the worst class.

    For each k of ``topk`` the result holds, in percent:

    - ``overall/top{k}``: proportion of correct images (micro);
    - ``macro/top{k}``: mean over the classes in the evaluated set;
    - ``worst_class/top{k}``: the lowest class;
    - ``{rule}/{group}/top{k}``: mean over the classes of a group, the rule
      named because groups of one name differ between papers. Groups without
      a class in the evaluated set are left out.

    Args:
        topk (Union[int, Sequence[int]]): One or more k, each at least 1.
        groups (Union[GroupRule, Sequence[GroupRule]]): ``'quartile'`` (the
            paper's), ``'kang'``, falling boundaries such as ``(100, 20)``, or
            a list of rules; see :func:`group_classes`.
        class_counts (Optional[Sequence[int]]): Train images per class. By
            default those that ``ClassCountsHook`` reads from the train set.
        per_class_file (Optional[str]): Where to write each class's name,
            train count, test count and accuracies: ``.csv`` or ``.json``.
        collect_device (str): ``'cpu'`` or ``'gpu'``, for several ranks.
        prefix (Optional[str]): Prefix of the result names.

    Raises:
        ValueError: If an argument is out of range.
    """

    default_prefix: Optional[str] = 'group'

    def __init__(
        self,
        topk: Union[int, Sequence[int]] = 1,
        groups: Union[GroupRule, Sequence[GroupRule]] = 'quartile',
        class_counts: Optional[Sequence[int]] = None,
        per_class_file: Optional[str] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or min(self.topk) < 1:
            raise UserError(f'topk must be at least 1, got {topk}')
        several = not isinstance(groups, str) and all(
            not isinstance(rule, int) for rule in groups
        )
        self.rules: List[Any] = list(groups) if several else [groups]
        for rule in self.rules:
            group_classes(np.ones(1, dtype=np.int64), rule)
        self.class_counts = class_counts
        if per_class_file and not per_class_file.endswith(('.csv', '.json')):
            raise UserError(
                'per_class_file must end in .csv or .json, got '
                f'{per_class_file!r}'
            )
        self.per_class_file = per_class_file
        # The last evaluation, for tables: rows of (rule, group, number of
        # classes, accuracies).
        self.table: List[Tuple[str, str, int, List[float]]] = []
        # And for reports: label, predicted class and its probability
        # (NaN if unknown), each of shape (images,); and where the images are
        # files, their paths.
        self.predictions: Dict[str, np.ndarray] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note label and hits of a batch."""
        for sample in data_samples:
            label = int(sample['gt_label'])
            confidence = float('nan')
            if 'pred_score' in sample:
                score = sample['pred_score'].float()
                scores, best = score.topk(min(max(self.topk), len(score)))
                confidence = float(scores[0])
            elif self.topk == (1,):
                best = sample['pred_label']
            else:
                raise UserError(
                    'top-k accuracy beyond 1 needs pred_score '
                    'in the predictions'
                )
            hits = [bool((best[:k] == label).any()) for k in self.topk]
            image = sample.get('img_path') or ''
            self.results.append((label, int(best[0]), confidence, image, *hits))

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Sum up the noted samples."""
        label, prediction, confidence, image, *all_hits = map(
            np.asarray, zip(*results)
        )
        self.predictions = dict(
            label=label, prediction=prediction, confidence=confidence
        )
        if any(image):
            self.predictions['image'] = image
        train = self._train_counts()
        num_classes = max(len(train), int(label.max()) + 1)
        train = np.pad(train, (0, num_classes - len(train)))
        tested = np.bincount(label, minlength=num_classes)
        hits = [np.bincount(label, h, num_classes) for h in all_hits]
        correct = np.stack(hits, 1)
        with np.errstate(invalid='ignore'):
            accuracy = 100 * correct / tested[:, None]

        everyone = np.arange(num_classes)
        rows = [
            ('', 'overall', everyone, 100 * correct.sum(0) / tested.sum()),
            ('', 'macro', everyone, np.nanmean(accuracy, axis=0)),
            ('', 'worst_class', everyone, np.nanmin(accuracy, axis=0)),
        ]
        for rule in self.rules:
            name, groups = group_classes(train, rule)
            for group, members in groups.items():
                members = members[tested[members] > 0]
                if len(members):
                    mean = accuracy[members].mean(0)
                    rows.append((name, group, members, mean))
        self.table = [
            (rule, group, len(members), values.tolist())
            for rule, group, members, values in rows
        ]
        if self.per_class_file:
            self._write_per_class(train, tested, accuracy)
        return {
            f'{rule + "/" if rule else ""}{group}/top{k}': float(value)
            for rule, group, _, values in rows
            for k, value in zip(self.topk, values)
        }

    def _train_counts(self) -> np.ndarray:
        counts = self.class_counts
        if counts is None:
            counts = MessageHub.get_current_instance().get_info('class_counts')
        if counts is None:
            raise UserError(
                'GroupAccuracy does not know the train class counts; add '
                "dict(type='ClassCountsHook') to custom_hooks, or give "
                'class_counts=[...]'
            )
        return np.asarray(counts, dtype=np.int64)

    def _write_per_class(
        self, train: np.ndarray, tested: np.ndarray, accuracy: np.ndarray
    ) -> None:
        assert self.per_class_file, 'asked before'
        names = [*map(str, (self.dataset_meta or {}).get('classes') or ())]
        names += map(str, range(len(names), len(train)))
        columns = ['class', 'name', 'train_images', 'test_images']
        columns += [f'top{k}' for k in self.topk]
        rows = [
            (i, names[i], int(train[i]), int(tested[i]))
            + tuple(None if np.isnan(a) else a for a in accuracy[i])
            for i in range(len(train))
        ]
        with open(
            self.per_class_file, 'w', newline='', encoding='utf-8'
        ) as file:
            if self.per_class_file.endswith('.csv'):
                csv.writer(file).writerows([columns, *rows])
            else:
                table = [dict(zip(columns, row)) for row in rows]
                json.dump(table, file, indent=1)


def evaluate_scores(scores: Any, labels: Any) -> GroupAccuracy:
    """Accuracy by both rules of groups, of tensors of scores (n, C)."""
    metric = GroupAccuracy(groups=['quartile', 'kang'])
    samples = [
        dict(pred_score=score, gt_label=label)
        for score, label in zip(scores, labels)
    ]
    metric.process(None, samples)
    metric.evaluate(len(samples))
    return metric
