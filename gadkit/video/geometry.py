"""The geometry of a training frame: size, rate, and what becomes of shapes that differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gadkit.errors import ConfigError
from gadkit.interfaces.dataset import Footage
from gadkit.video.draft import drawn
from gadkit.video.resample import resample
from gadkit.video.transforms import fit, parse_colour

#: The most by which libswscale is asked to shrink: its filters end at 256 taps.
_MOST = 16

Fit = Literal["crop", "letterbox", "stretch"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What every frame of a training set is brought to.

    Attributes:
        height: H in pixels.
        width: W in pixels.
        fps: Frame rate in Hz that footage is resampled to by its timestamps; `None` keeps every frame.
        fit: What becomes of another aspect ratio: `crop` cuts what is too much, about the centre; `letterbox` fills up
            with the background; `stretch` distorts.
        background: What transparent pixels and letterboxes show (`gadkit.video.transforms.parse_colour`).

    Raises:
        ConfigError: A size, the rate or the colour is out of range.
    """

    height: int
    width: int
    fps: float | None = None
    fit: Fit = "crop"
    background: str = "white"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.fps is not None and not (math.isfinite(self.fps) and 0 < self.fps <= 1000):
            raise ConfigError(f"fps is {self.fps}; it must lie in (0, 1000].")
        parse_colour(self.background)

    def frames(self, footage: Footage) -> Iterator[np.ndarray]:
        """The frames of some footage in this geometry: uint8 `(H, W, 3)`, contiguous, one by one."""
        source = drawn(iter(footage.frames if self.fps is None else resample(footage, self.fps)), self.shrink)
        colour = parse_colour(self.background)
        return (fit(frame, self.height, self.width, colour, self.fit) for frame in source)

    def shrink(self, height: int, width: int) -> tuple[int, int] | None:
        """The size (H, W) to which a decoder may scale an upright frame of this size; `None` where it should not.

        It is the size of the training frame where that has the same aspect ratio, or frames are stretched; otherwise a
        whole fraction of the frame's that leaves twice the final detail to the filter that crops.
        """
        down, across = height / self.height, width / self.width
        if self.fit == "stretch" or height * self.width == width * self.height:
            exact = min(down, across) > 1 and max(down, across) <= _MOST
            return (self.height, self.width) if exact else None
        ratio = min(down, across) if self.fit == "crop" else max(down, across)
        for factor in range(min(_MOST, int(ratio / 2)), 1, -1):
            if height % factor == width % factor == 0:
                return height // factor, width // factor
        return None

    def rate(self, footage: Footage) -> float:
        """The frame rate in Hz of what `frames` gives."""
        return footage.fps if self.fps is None else self.fps

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `Geometry(**values)` is equal."""
        return asdict(self)
