"""Datasets as lists of samples, and what loads them."""
