"""Tensors in, tensors out: what the four models are made of."""
