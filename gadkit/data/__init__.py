"""Sets of clips: labels, packs, streams, and the workers that decode."""

#: The files that plugins may use: the format of packs, for a dataset that brings one.
__all__ = ["index", "shards"]
