"""GHMCWAPLoss in a LightningModule.

Example:
    python examples/lightning_module.py --epochs 20
"""

import argparse
import tempfile

import lightning
import torch
from long_tailed_digits import load, macro_accuracy
from torch import nn
from torch.utils.data import DataLoader

from mmghm import GHMCWAPLoss


class Classifier(lightning.LightningModule):
    def __init__(self, class_counts: list) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 16, len(class_counts)),
        )
        # A submodule: its histograms are saved in Lightning's checkpoints.
        self.loss = GHMCWAPLoss(len(class_counts), class_counts=class_counts)

    def on_train_epoch_start(self) -> None:
        self.loss.weights_active = (
            self.current_epoch >= 0.8 * self.trainer.max_epochs
        )

    def training_step(self, batch: list, batch_idx: int) -> torch.Tensor:
        images, labels = batch
        loss = self.loss(self.model(images), labels)
        self.log('loss', loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        # Sums the counts over the ranks of DDP too.
        self.loss.rebin()
        self.log_dict(self.loss.summary())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def main(epochs: int) -> float:
    lightning.seed_everything(0)
    digits = load()
    module = Classifier(digits.class_counts)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator='auto',
            default_root_dir=folder,
            log_every_n_steps=1,
            logger=False,
        )
        trainer.fit(module, DataLoader(digits.train, 64, shuffle=True))
        checkpoint = torch.load(
            trainer.checkpoint_callback.best_model_path, weights_only=True
        )
    assert 'loss.edges' in checkpoint['state_dict']
    images, labels = digits.test.tensors
    module.eval()
    with torch.no_grad():
        return macro_accuracy(module.model(images).argmax(1), labels)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=20)
    print(f'macro accuracy: {main(parser.parse_args().epochs):.1f} %')
