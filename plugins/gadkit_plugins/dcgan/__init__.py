"""Convolutional generators and discriminators after Radford et al. 2016."""
