"""What a run ran on and with: `environment.json`."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

from gadkit.config import RunConfig
from gadkit.engine.devices import Engine, describe_device

_LIBRARIES = ("gadkit", "torch", "accelerate", "av", "numpy", "pillow", "safetensors")


def environment(config: RunConfig, engine: Engine) -> dict[str, Any]:
    """Versions, device, and the distribution behind every component."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "device": describe_device(engine.device),
        "precision": engine.precision,
        "processes": engine.world,
        "threads": torch.get_num_threads(),
        "components": {
            kind: {
                "use": part.entry.qualified,
                "distribution": part.entry.distribution,
                "version": part.entry.version,
            }
            for kind, part in config.parts.items()
        },
    }
