"""Weights of networks: fetched from pinned archives, converted once, verified at every use."""
