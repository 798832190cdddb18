"""Testing a trained model."""
