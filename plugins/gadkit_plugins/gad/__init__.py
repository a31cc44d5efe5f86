"""Directions: how gradients become steps."""
