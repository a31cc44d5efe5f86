"""Assemblers without parameters."""
