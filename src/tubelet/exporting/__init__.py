"""Models for programs that are not PyTorch: written, run by that program, and compared."""
