"""Diffusion-GAN (Wang et al. 2023, arXiv:2206.02262), an augmentation for gadkit."""
