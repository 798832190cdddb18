"""Exported models: what their files say of themselves, and the programs that run them."""
