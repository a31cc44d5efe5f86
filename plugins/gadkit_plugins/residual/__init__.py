"""Residual networks without normalisation, after R3GAN's design."""
