"""Measuring: protocols, the clips that they choose, features of them, and results with their manifests."""
