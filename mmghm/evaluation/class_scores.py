"""All scores of an evaluation, for what needs more than the best class."""

from typing import Any, Dict, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS


@METRICS.register_module()
class ClassScores(BaseMetric):
    """Keep the logarithm of every class's score; it reports no figure.

    Takes ``4 * C`` bytes per image on rank 0.
    """

    default_prefix = 'scores'

    def __init__(self) -> None:
        super().__init__()
        # Of the last evaluation: (images, C) and (images,).
        self.log_shares = np.zeros((0, 0), np.float32)
        self.labels = np.zeros(0, np.int64)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note label and scores of a batch."""
        for sample in data_samples:
            score = sample['pred_score'].double().clamp(min=1e-300).log()
            self.results.append(
                (int(sample['gt_label']), score.float().cpu().numpy())
            )

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Put the scores together."""
        self.labels = np.array([label for label, _ in results])
        self.log_shares = np.stack([scores for _, scores in results])
        return {}
