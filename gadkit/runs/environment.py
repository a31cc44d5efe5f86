"""What a run ran on and with: `environment.json`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch

from gadkit.config import RunConfig
from gadkit.engine.devices import Engine, describe_device
from gadkit.registry import Registry
from gadkit.registry.entry import Entry

_LIBRARIES = ("gadkit", "torch", "accelerate", "av", "numpy", "pillow", "safetensors")


def environment(config: RunConfig, engine: Engine, registry: Registry) -> dict[str, Any]:
    """Versions, device, and the distribution behind every component, the dataset's and the trackers' included."""
    entries = {kind: part.entry for kind, part in config.parts.items()}
    if config.data.use is not None:
        entries["dataset"] = registry.find("dataset", config.data.use)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "device": describe_device(engine.device),
        "precision": engine.precision,
        "processes": engine.world,
        "threads": torch.get_num_threads(),
        "components": {kind: _provenance(entry) for kind, entry in entries.items()},
        # beside them, for there may be several, and none changes what a run computes
        "trackers": {name: _provenance(tracker.entry) for name, tracker in config.trackers.items()},
    }


def _provenance(entry: Entry) -> dict[str, str]:
    found = {"use": entry.qualified, "distribution": entry.distribution, "version": entry.version}
    return found | ({"sha256": entry.sha256} if entry.sha256 else {})


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # installed under another name, as builds of Pillow or PyAV are
        return "unknown"


@contextmanager
def algorithms(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Chooses PyTorch's algorithms for a block; afterwards they, and its global generator, are as they were."""
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic or before, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
