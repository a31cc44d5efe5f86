"""What a training takes of a device's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The memory of a training, in bytes, of one process.

    Attributes:
        parts: What stays from step to step, by what it is for: `weights`, `gradients`, `optimiser`, `average`, ...
        per_clip: What one more clip of a forward pass adds while its backward pass is due: activations.
        measured: Whether `per_clip` was measured on the device; otherwise it is an estimate.
    """

    parts: Mapping[str, int]
    per_clip: float
    measured: bool = False

    @property
    def fixed(self) -> int:
        """What no cut of the batch makes smaller."""
        return sum(self.parts.values())

    def at(self, clips: int) -> float:
        """The bytes at a number of clips in one forward pass."""
        return self.fixed + self.per_clip * clips
