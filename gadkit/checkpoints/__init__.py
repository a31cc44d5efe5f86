"""Folders of tensors and plain values that are whole or not there: how checkpoints and models lie on the disk."""
