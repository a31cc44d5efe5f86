"""MoCoGAN's pair of discriminators."""
