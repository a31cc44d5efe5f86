"""Metrics over videos. Their classes load on first use: importing this package imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frames import FrameFrechetDistance as FrameFrechetDistance
    from .frames import FrameKernelDistance as FrameKernelDistance
    from .frames import InceptionScore as InceptionScore
    from .frechet import FrechetVideoDistance as FrechetVideoDistance
    from .kernel import KernelVideoDistance as KernelVideoDistance
    from .manifold import PrecisionRecallDensityCoverage as PrecisionRecallDensityCoverage
    from .memorisation import Memorisation as Memorisation
    from .motion import MotionStatistics as MotionStatistics

_LAZY = {
    "FrameFrechetDistance": "frames",
    "FrameKernelDistance": "frames",
    "FrechetVideoDistance": "frechet",
    "InceptionScore": "frames",
    "KernelVideoDistance": "kernel",
    "Memorisation": "memorisation",
    "MotionStatistics": "motion",
    "PrecisionRecallDensityCoverage": "manifold",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
