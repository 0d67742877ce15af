"""The work of ``mmghm posthoc``: new classifiers on the features of a network."""

import argparse
import copy
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Dict, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmengine.runner import save_checkpoint
from mmpretrain.registry import MODELS
from torch import Tensor

from mmghm.choose.settings import check_methods, trial_config, with_method
from mmghm.choose.trial import linear_classifier, run_trial
from mmghm.datasets import dataset_class_counts
from mmghm.deploy.held_out import check_recorded
from mmghm.deploy.load import POSTHOC
from mmghm.deploy.network import build_model, head_logits, unaugmented_loader
from mmghm.engine.checkpoints import ATOMIC, complete_checkpoints
from mmghm.engine.hooks.run_record_hook import IMAGES_KEY
from mmghm.evaluation.group_accuracy import evaluate_scores
from mmghm.features.cached import feature_config, linear_layer
from mmghm.features.extract import dataset_features
from mmghm.features.frozen import is_frozen
from mmghm.features.training import put_in
from mmghm.models.posthoc import (
    POSTHOC_METHODS,
    TAUS,
    choose_tau,
    remake_classifier,
)
from mmghm.utils.arrays import write_arrays
from mmghm.utils.errors import UserError
from mmghm.utils.options import closest
from mmghm.utils.text import TextConsole
from mmghm.visualization.tables import group_table


def _extract(model: Any, cfg: Config, field: str) -> Tuple[Tensor, Tensor, Any]:
    """Features and labels of the images of a dataloader, as they are tested."""
    loader = unaugmented_loader(cfg, field)
    return dataset_features(
        model, loader, f'features of {field}', keep=is_frozen(cfg)
    )


def _held_out_part(cfg: Config) -> Config:
    """The config with the held-out images in place of the train images."""
    dataset = cfg.train_dataloader.dataset
    if not dataset.get('holdout'):
        raise UserError(
            'logit_adjustment and tau_norm choose tau on images '
            'held out of training. Train with --cfg-options '
            'train_dataloader.dataset.holdout=0.2 and give the same here, give '
            '--tau, or leave them out of --methods'
        )
    held = copy.deepcopy(cfg)
    held.train_dataloader.dataset.part = 'holdout'
    return held


def _trained_head(
    cfg: Config, loss: str, seed: int, train: Any, test: Any
) -> Tuple[Any, Tensor]:
    """A head trained with a loss on features; its scores of the test images."""
    with tempfile.TemporaryDirectory() as folder:
        features, work_dir = Path(folder) / 'features.npz', Path(folder) / 'run'
        write_arrays(
            features,
            train=train[0].numpy(),
            train_labels=train[1].numpy(),
            holdout=test[0].numpy(),
            holdout_labels=test[1].numpy(),
        )
        # The share is not used: the features are those of all train images.
        settings = feature_config(trial_config(cfg, loss, seed, 0.5), features)
        run_trial(settings.to_dict(), Path(folder) / 'scores.npz', work_dir)
        last = next(complete_checkpoints(work_dir))
        head = build_model(settings, last, trust=True)[0].head
    with torch.inference_mode():
        return head, head_logits(head, (test[0],))


def _save(args: argparse.Namespace, cfg: Config, model: Any, made: Any) -> None:
    """Write the model with a new classifier as a checkpoint."""
    if args.losses:
        config = with_method(cfg, args.losses[0])
        # What comes before the last layer stays.
        kept = {
            name: value
            for name, value in model.head.state_dict().items()
            if not name.startswith('loss_module.')
        }
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model.head = MODELS.build(config.model.head)
        model.head.load_state_dict(kept, strict=False)
        put_in(model.head, made)
    else:
        layer = linear_layer(model.head)
        with torch.no_grad():
            layer.weight.copy_(made.weight)
            layer.bias.copy_(made.bias)
        # Its prior is no longer what the loss states.
        args.meta[POSTHOC] = args.methods[0]
    save_checkpoint(
        dict(state_dict=model.state_dict(), meta=args.meta),
        args.save,
        backend_args=dict(backend=ATOMIC),
    )
    print(f'Wrote {args.save}', end='')
    if args.losses:
        # Another head, or another prior that it was trained toward.
        path = str(Path(args.save).with_suffix('.py'))
        config.dump(path)
        print(f', for the config {path}', end='')
    print('.')


def make_classifiers(args: argparse.Namespace, cfg: Config) -> None:
    """Make, test and save the classifiers that the options ask for."""
    known = ('none', *POSTHOC_METHODS)
    if args.methods is None:
        args.methods = known
    for method in args.methods:
        if method not in known:
            raise UserError(
                f'no method {method}{closest(method, known) or "."} There are '
                f'{", ".join(known)}'
            )
    if args.losses:
        check_methods(cfg, args.losses)
    console = TextConsole()
    model, args.meta = build_model(cfg, args.checkpoint, args.trust_checkpoint)
    trained = linear_classifier(model.head)
    train = _extract(model, cfg, 'train_dataloader')
    test = _extract(model, cfg, 'test_dataloader')
    held = None
    if set(TAUS) & set(args.methods) and args.tau is None:
        apart = _held_out_part(cfg)
        check_recorded(
            'train', train[2], args.meta.get(IMAGES_KEY), args.checkpoint
        )
        held = _extract(model, apart, 'train_dataloader')[:2]
    features, labels, dataset = train
    counts = dataset_class_counts(dataset, len(trained.weight))
    MessageHub.get_current_instance().update_info(
        'class_counts', counts.tolist()
    )
    remake = partial(
        remake_classifier,
        trained=trained,
        features=features,
        labels=labels,
        class_counts=torch.as_tensor(counts),
    )
    results: Dict[str, Any] = {}
    made: Any = None
    for method in [*args.methods, *args.losses]:
        settings: Dict[str, Any] = {}
        if method in args.losses:
            made, scores = _trained_head(cfg, method, args.seed, train, test)
        else:
            if method in ('crt', 'lws') and args.epochs is not None:
                settings['epochs'] = args.epochs
            elif method in TAUS:
                settings['tau'] = args.tau
                if held is not None:
                    settings['tau'] = choose_tau(
                        lambda tau, of=method: remake(of, tau=tau)(held[0]),
                        held[1],
                        TAUS[method],
                    )
            made = (
                trained
                if method == 'none'
                else remake(method, seed=args.seed, **settings)
            )
            scores = made(test[0])
        metric = evaluate_scores(scores, test[1])
        results[method] = dict(
            settings=settings,
            accuracy={
                f'{rule}/{group}' if rule else group: values[0]
                for rule, group, _, values in metric.table
            },
        )
        note = ', '.join(f'{k} {v:g}' for k, v in settings.items())
        console.print(f'\n{method}' + (f' ({note})' if note else ''))
        print(group_table(metric))
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            json.dump(results, file, indent=1)
    if args.save:
        _save(args, cfg, model, made)
