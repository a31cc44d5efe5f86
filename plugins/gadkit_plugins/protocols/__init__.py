"""Protocols: the TOML files beside this module."""
