"""GHMCWAPLoss in timm's train script style: Mixup, EMA, timm's schedulers.

Example:
    python examples/timm_training.py --epochs 40
"""

import argparse

import torch
from long_tailed_digits import load, macro_accuracy
from timm import create_model
from timm.data import Mixup
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, ModelEmaV3, random_seed
from torch.utils.data import DataLoader

from mmghm import GHMCWAPLoss


def train_one_epoch(model, loader, optimizer, loss_fn, mixup_fn, model_ema):
    model.train()
    losses = AverageMeter()
    for images, target in loader:
        # Soft targets from here on: each class counts its part.
        images, target = mixup_fn(images, target)
        loss = loss_fn(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model_ema.update(model)
        losses.update(loss.item(), images.size(0))
    return losses.avg


def main(epochs: int) -> float:
    random_seed(0)  # Also numpy's, which Mixup draws from.
    digits = load()
    # Mixup pairs images, so that batches must be even.
    loader = DataLoader(
        digits.train, batch_size=16, shuffle=True, drop_last=True
    )
    model = create_model(
        'vit_tiny_patch16_224',
        img_size=8,
        patch_size=2,
        in_chans=1,
        num_classes=10,
        embed_dim=64,
        depth=2,
        num_heads=4,
    )
    model_ema = ModelEmaV3(model, decay=0.98)
    mixup_fn = Mixup(mixup_alpha=0.2, cutmix_alpha=0.0, num_classes=10)
    train_loss_fn = GHMCWAPLoss(10, class_counts=digits.class_counts)
    optimizer = create_optimizer_v2(model, 'adamw', lr=5e-3, weight_decay=0.05)
    scheduler, epochs = create_scheduler_v2(
        optimizer, 'cosine', num_epochs=epochs, warmup_epochs=1
    )
    for epoch in range(epochs):
        train_loss_fn.weights_active = epoch >= 0.8 * epochs
        loss = train_one_epoch(
            model, loader, optimizer, train_loss_fn, mixup_fn, model_ema
        )
        train_loss_fn.rebin()
        scheduler.step(epoch + 1)
        print(f'epoch {epoch + 1}: loss {loss:.3f}')
    images, labels = digits.test.tensors
    with torch.no_grad():
        return macro_accuracy(model_ema.module(images).argmax(1), labels)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=40)
    print(f'macro accuracy: {main(parser.parse_args().epochs):.1f} %')
