"""The four ViViT models and their sizes."""
