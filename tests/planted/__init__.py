"""Planted faults: components that break one promise each, and what the conformance kit has to say of every one.

`FAULTS` is the whole list. Each module has the faulty components of a kind or two, each beside its row: what is wrong,
words of the promise, words of the advice, and the aspect that has to find it. A faulty component differs from its base,
which keeps every promise, by the fault alone.
"""

from importlib import import_module

from planted.table import FAULTS, Fault, Plugin

__all__ = ["FAULTS", "Fault", "Plugin"]

for module in (
    "generators",
    "assemblers",
    "discriminators",
    "losses",
    "penalties",
    "augmentations",
    "directions",
    "refiners",
    "datasets",
    "measures",
    "settings",
    "places",
    "runs",
    "trackers",
    "plugins",
    "commands",
):
    import_module(f"planted.faulty_{module}")  # which enters its own faults
