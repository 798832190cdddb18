"""Tubelet: the PyTorch home of ViViT, the Video Vision Transformer."""
