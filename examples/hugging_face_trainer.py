"""GHMCWAPLoss in the Hugging Face Trainer, by a callback.

Example:
    python examples/hugging_face_trainer.py --epochs 40
"""

import argparse
import tempfile
from typing import Any

import torch
from long_tailed_digits import load, macro_accuracy
from torch.utils.data import TensorDataset
from transformers import (
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    set_seed,
)

from mmghm import GHMCWAPLoss


class RebinCallback(TrainerCallback):
    """What AURARebinHook does under MMEngine."""

    def __init__(self, loss: GHMCWAPLoss, begin: float = 0.8) -> None:
        self.loss, self.begin = loss, begin

    def on_epoch_begin(
        self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any
    ) -> None:
        epoch = round(state.epoch or 0)
        self.loss.weights_active = epoch >= self.begin * args.num_train_epochs

    def on_epoch_end(
        self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any
    ) -> None:
        self.loss.rebin()


def collate(samples: list) -> dict:
    images, labels = zip(*samples)
    return dict(pixel_values=torch.stack(images), labels=torch.stack(labels))


def main(epochs: int) -> float:
    set_seed(0)
    digits = load()
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        num_labels=10,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        hidden_dropout_prob=0.0,
    )
    model = ViTForImageClassification(config)
    # A submodule: its histograms are saved with the model's weights.
    model.long_tail_loss = GHMCWAPLoss(10, class_counts=digits.class_counts)

    def compute_loss(
        outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        return model.long_tail_loss(outputs.logits, labels)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
                folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=16,
                learning_rate=2e-3,
                save_strategy='no',
                report_to='none',
            ),
            data_collator=collate,
            train_dataset=digits.train,
            compute_loss_func=compute_loss,
            callbacks=[RebinCallback(model.long_tail_loss)],
        )
        trainer.train()
        predicted = trainer.predict(TensorDataset(*digits.test.tensors))
    predictions = torch.tensor(predicted.predictions).argmax(1)
    return macro_accuracy(predictions, digits.test.tensors[1])


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=40)
    print(f'macro accuracy: {main(parser.parse_args().epochs):.1f} %')
