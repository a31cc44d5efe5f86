"""Weights of networks: fetched from pinned archives, converted once, verified at every use."""

#: The files that plugins may use: for the `convert` and the `digest` of a `gadkit.Weights`.
__all__ = ["arrays", "state"]
