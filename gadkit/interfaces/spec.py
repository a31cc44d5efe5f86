"""What a run's videos are like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """The shape of the clips that a run trains on.

    Attributes:
        channels: C, 3 for colour.
        height: H in pixels.
        width: W in pixels.
        frames: T, the training length in frames.
        fps: Frame rate in Hz.
        classes: Number of classes; 0 where the data have no labels.
    """

    channels: int = 3
    height: int
    width: int
    frames: int
    fps: float = 25.0
    classes: int = 0
