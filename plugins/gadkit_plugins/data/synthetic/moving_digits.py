"""Digits that move and bounce, made on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gadkit import Source
from gadkit_plugins.data.synthetic.endless import Synthetic
from gadkit_plugins.data.synthetic.glyphs import digit
from gadkit_plugins.data.synthetic.motion import bounced
from gadkit_plugins.data.synthetic.raster import Pixels, Strokes, cover


class MovingDigits(Synthetic):
    """White digits on black that fly straight, each its own way, and bounce off the edges of the frame.

    In the manner of Moving MNIST (Srivastava et al. 2015), with digits of gadkit's own drawing, positions between
    pixels, and no end of videos. Digits pass through each other; where they overlap, the brighter one shows.

    Args:
        path: Not looked at, since there is nothing to read; there because every dataset has it.
        seed: Another seed gives other videos.
        digits: How many digits a video shows; the most where `own` is `count`.
        size: Height of the digits in pixels.
        speed: How far a digit moves from frame to frame, in pixels.
        own: What `data.labels=own` says: `digit`, where all digits of a video are the same, and its class says which;
            `count`, where a video shows one to `digits` of them; `none`, where videos have no class.
        length: Frames of each video.
        height: H in pixels.
        width: W in pixels.
        fps: Frame rate in Hz.
    """

    def __init__(
        self,
        path: Path | str = Path(),
        *,
        seed: int = 0,
        digits: Annotated[int, Field(ge=1, le=64)] = 1,
        size: Annotated[float, Field(ge=4)] = 24.0,
        speed: Annotated[float, Field(ge=0)] = 2.0,
        own: Literal["digit", "count", "none"] = "digit",
        length: Annotated[int, Field(ge=1)] = 32,
        height: Annotated[int, Field(ge=8, le=4096)] = 64,
        width: Annotated[int, Field(ge=8, le=4096)] = 64,
        fps: Annotated[float, Field(gt=0, le=1000)] = 25.0,
    ) -> None:
        super().__init__("moving-digits", seed, length, height, width, fps)
        self.digits, self.size, self.speed, self.own = digits, size, speed, own
        self._check_room(size)

    def classes(self) -> Sequence[str]:
        """The ten digits, or the numbers of digits."""
        if self.own == "none":
            return []
        return [str(each) for each in (range(10) if self.own == "digit" else range(1, self.digits + 1))]

    def label(self, index: int) -> str | None:
        """The digit, or how many digits there are."""
        if self.own == "none":
            return None
        counts, kinds = self._chosen(self.uniforms(index, 1, 2))
        return str(kinds[0] if self.own == "digit" else counts)

    def factors(self, source: Source) -> dict[str, NDArray[Any]]:
        """As for every synthetic set; a position is a digit's centre of mass.

        Returns:
            `position`, `velocity` and `size`, and `digit` int64 `(N,)`.
        """
        draws = self.uniforms(self.index(source), self.digits, 5)
        count, kinds = self._chosen(draws)
        draws, kinds = draws[:count], kinds[:count]
        reach = np.stack([self._figure(kind).extents for kind in kinds])
        low, high = reach[:, :2], (self.width, self.height) - reach[:, 2:]
        start = low + draws[:, 2:4] * (high - low)
        heading = 2 * np.pi * draws[:, 4]
        velocity = self.speed * np.stack((np.cos(heading), np.sin(heading)), axis=1)
        position, velocity = bounced(start, velocity, np.arange(self.length)[:, None, None], low, high)
        return {"position": position, "velocity": velocity, "size": np.full(count, self.size), "digit": kinds}

    def draw(self, factors: dict[str, NDArray[Any]], frames: range) -> NDArray[np.uint8]:
        """Some consecutive frames of a video, uint8 `(len(frames), H, W, 3)`."""
        ink = np.zeros((len(frames), self.height, self.width), np.float32)

        def put(frame: int, rows: slice, columns: slice, coverage: Pixels) -> None:
            window = ink[frame, rows, columns]
            np.maximum(window, coverage, out=window)

        for body, kind in enumerate(factors["digit"]):
            positions = factors["position"][frames.start : frames.stop, body]
            cover(self._figure(kind), positions, None, self.height, self.width, put)
        return np.repeat(np.rint(255 * ink).astype(np.uint8)[..., None], 3, axis=3)

    def _chosen(self, draws: NDArray[np.float64]) -> tuple[int, NDArray[np.int64]]:
        """How many digits, and which, from the first two draws of each body."""
        kinds = (10 * draws[:, 0]).astype(np.int64)
        if self.own == "digit":
            kinds = np.full_like(kinds, kinds[0])
        return 1 + int(self.digits * draws[0, 1]) if self.own == "count" else self.digits, kinds

    def _figure(self, kind: int) -> Strokes:
        return digit(int(kind), self.size)
