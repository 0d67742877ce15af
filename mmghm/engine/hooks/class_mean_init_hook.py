"""Begin a cosine classifier at the class means."""

from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from mmghm.utils.errors import UserError


@HOOKS.register_module()
class ClassMeanInitHook(Hook):
    """Set a ``NormedLinearClsHead`` to the mean features of the classes.

    Shi et al. 2024 (LIFT) begin so where the network has no text encoder. One
    pass over the train images before the first epoch; a class without an image
    keeps its row. A resumed run keeps what it has learned.

    Raises:
        UserError: If the head is another one.
    """

    priority = 'NORMAL'

    @torch.no_grad()
    def before_train(self, runner: Any) -> None:
        """Compute the means, over the images of all ranks."""
        if runner.iter:
            return
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        head = model.head
        if type(head).__name__ != 'NormedLinearClsHead':
            raise UserError(
                'ClassMeanInitHook needs a NormedLinearClsHead, got '
                f'{type(head).__name__}'
            )
        model.eval()
        sums = torch.zeros_like(head.weight)
        loader = runner.train_dataloader
        # A sampler may go on for ever.
        for batch in islice(loader, len(loader)):
            data = model.data_preprocessor(batch, training=False)
            found = model.extract_feat(data['inputs'], stage='pre_logits')
            labels = torch.cat([s.gt_label for s in data['data_samples']])
            sums.index_add_(
                0, labels.to(sums.device), F.normalize(found.float())
            )
        all_reduce(sums)
        seen = sums.norm(dim=1) > 0
        head.weight[seen] = F.normalize(sums)[seen]
        model.train()
