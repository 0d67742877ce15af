"""GHMCWAPLoss in a plain PyTorch loop.

Example:
    python examples/plain_pytorch.py --epochs 20
"""

import argparse

import torch
from long_tailed_digits import load, macro_accuracy
from torch import nn
from torch.utils.data import DataLoader

from mmghm import GHMCWAPLoss


def main(epochs: int) -> float:
    torch.manual_seed(0)
    digits = load()
    loader = DataLoader(digits.train, batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 16, 10),
    )
    loss_fn = GHMCWAPLoss(10, class_counts=digits.class_counts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        # W acts in the last fifth of the epochs, docs/method.md says why.
        loss_fn.weights_active = epoch >= 0.8 * epochs
        model.train()
        loss_fn.train()
        for images, labels in loader:
            loss = loss_fn(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_fn.rebin()
        print(f'epoch {epoch + 1}: loss {loss.item():.3f}')
    # Save the histograms in the checkpoint, with the weights:
    # torch.save(dict(model=model.state_dict(), loss=loss_fn.state_dict()), ...)
    model.eval()
    images, labels = digits.test.tensors
    with torch.no_grad():
        return macro_accuracy(model(images).argmax(1), labels)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=20)
    print(f'macro accuracy: {main(parser.parse_args().epochs):.1f} %')
