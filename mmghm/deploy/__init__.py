"""From a trained model to its use: publish, predict, export."""
