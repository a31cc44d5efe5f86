"""Implicit neural representations (INR-GAN, Skorokhodov et al. 2021, arXiv:2011.12026), a generator for gadkit."""
