"""Coloured shapes that move and bounce, made on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gadkit import Source
from gadkit_plugins.data.synthetic.endless import Synthetic
from gadkit_plugins.data.synthetic.motion import bounced
from gadkit_plugins.data.synthetic.raster import Disc, Figure, Outline, Pixels, cover

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (220, 40, 40),
    "orange": (240, 150, 30),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "purple": (140, 60, 180),
    "black": (30, 30, 30),
}
_GROUND = 255
#: Sizes and speeds lie between these parts of the ones that are set; turns are at most this much of a radian a frame.
_SIZES = (0.75, 1.25)
_SPEEDS = (0.5, 1.5)
_FASTEST_TURN = 0.15
_INNER = 0.45  # of a star's outer radius


class BouncingShapes(Synthetic):
    """Circles, squares, triangles and stars on white that fly straight and bounce off the edges of the frame.

    Every body has a shape, a colour, a size, a velocity and, where they turn, a rate of turning. They pass over each
    other, later ones in front. A body that turns bounces by the circle around it.

    Args:
        path: Not looked at, since there is nothing to read; there because every dataset has it.
        seed: Another seed gives other videos.
        shapes: How many bodies a video shows; the most where `own` is `count`.
        size: Diameter in pixels of the circle around a body; each has from three to five quarters of it.
        speed: How far a body moves from frame to frame, in pixels; each from half to three halves of it.
        turn: Whether bodies turn.
        own: What `data.labels=own` says: `shape` or `colour`, where it is one for all bodies of a video; `count`, where
            a video shows one to `shapes` of them; `none`, where videos have no class.
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
        shapes: Annotated[int, Field(ge=1, le=64)] = 2,
        size: Annotated[float, Field(ge=4)] = 18.0,
        speed: Annotated[float, Field(ge=0)] = 2.0,
        turn: bool = False,
        own: Literal["shape", "colour", "count", "none"] = "shape",
        length: Annotated[int, Field(ge=1)] = 32,
        height: Annotated[int, Field(ge=8, le=4096)] = 64,
        width: Annotated[int, Field(ge=8, le=4096)] = 64,
        fps: Annotated[float, Field(gt=0, le=1000)] = 25.0,
    ) -> None:
        super().__init__("bouncing-shapes", seed, length, height, width, fps)
        self.shapes, self.size, self.speed, self.turn, self.own = shapes, size, speed, turn, own
        self._check_room(size * _SIZES[1])

    def classes(self) -> Sequence[str]:
        """The shapes, the colours, or the numbers of bodies."""
        counts = [str(each) for each in range(1, self.shapes + 1)]
        return {"shape": list(SHAPES), "colour": list(COLOURS), "count": counts, "none": []}[self.own]

    def label(self, index: int) -> str | None:
        """The shape, the colour, or how many bodies there are."""
        if self.own == "none":
            return None
        count, shapes, colours = self._chosen(self.uniforms(index, 1, 3))
        if self.own == "count":
            return str(count)
        return SHAPES[shapes[0]] if self.own == "shape" else list(COLOURS)[colours[0]]

    def factors(self, source: Source) -> dict[str, NDArray[Any]]:
        """As for every synthetic set; a position is a body's centre of mass, and a size its circle's diameter.

        Returns:
            `position`, `velocity` and `size`; `shape` and `colour`, the names, `(N,)`; `rgb` uint8 `(N, 3)`; `angle`
            float64 `(T, N)` in radians, from x towards y.
        """
        draws = self.uniforms(self.index(source), self.shapes, 10)
        count, shapes, colours = self._chosen(draws)
        draws, shapes, colours = draws[:count], shapes[:count], colours[:count]
        size = self.size * _between(_SIZES, draws[:, 3])
        time = np.arange(self.length)[:, None]
        turn = self.turn * _between((-_FASTEST_TURN, _FASTEST_TURN), draws[:, 4])
        angle = self.turn * 2 * np.pi * draws[:, 5] + turn * time
        reach = np.stack([self._reach(shape, each) for shape, each in zip(shapes, size, strict=True)])
        low, high = reach[:, :2], (self.width, self.height) - reach[:, 2:]
        start = low + draws[:, 6:8] * (high - low)
        heading = 2 * np.pi * draws[:, 8]
        speed = self.speed * _between(_SPEEDS, draws[:, 9])
        velocity = speed[:, None] * np.stack((np.cos(heading), np.sin(heading)), axis=1)
        position, velocity = bounced(start, velocity, time[..., None], low, high)
        names = np.array(list(COLOURS))
        return {
            "position": position,
            "velocity": velocity,
            "size": size,
            "shape": np.array(SHAPES)[shapes],
            "colour": names[colours],
            "rgb": np.array(list(COLOURS.values()), np.uint8)[colours],
            "angle": angle,
        }

    def draw(self, factors: dict[str, NDArray[Any]], frames: range) -> NDArray[np.uint8]:
        """Some consecutive frames of a video, uint8 `(len(frames), H, W, 3)`."""
        video = np.full((len(frames), self.height, self.width, 3), _GROUND, np.float32)
        part = np.s_[frames.start : frames.stop]
        bodies = zip(factors["shape"], factors["size"], factors["rgb"].astype(np.float32), strict=True)
        for body, (shape, size, colour) in enumerate(bodies):

            def put(frame: int, rows: slice, columns: slice, coverage: Pixels, colour: Pixels = colour) -> None:
                window = video[frame, rows, columns]
                window += coverage[..., None] * (colour - window)

            angle = factors["angle"][part, body] if self.turn else None
            figure = _figure(str(shape), float(size) / 2)
            cover(figure, factors["position"][part, body], angle, self.height, self.width, put)
        return np.rint(video).astype(np.uint8)

    def _chosen(self, draws: NDArray[np.float64]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """How many bodies, of which shapes and colours, from the first three draws of each."""
        shapes = (len(SHAPES) * draws[:, 0]).astype(np.int64)
        colours = (len(COLOURS) * draws[:, 1]).astype(np.int64)
        if self.own == "shape":
            shapes = np.full_like(shapes, shapes[0])
        if self.own == "colour":
            colours = np.full_like(colours, colours[0])
        return 1 + int(self.shapes * draws[0, 2]) if self.own == "count" else self.shapes, shapes, colours

    def _reach(self, shape: int, size: float) -> NDArray[np.float64]:
        """How far a body reaches from its centre to the left, the top, the right and the bottom."""
        return np.full(4, size / 2) if self.turn else _figure(SHAPES[shape], size / 2).extents


def _between(ends: tuple[float, float], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    return ends[0] + (ends[1] - ends[0]) * draws


def _figure(shape: str, radius: float) -> Figure:
    """A shape in a circle of some radius, upright."""
    if shape == "circle":
        return Disc(radius)
    corners = {"square": 4, "triangle": 3, "star": 10}[shape]
    turned = np.pi / 4 if shape == "square" else -np.pi / 2
    angles = turned + 2 * np.pi * np.arange(corners) / corners
    radii = radius * np.where(np.arange(corners) % 2, _INNER, 1.0) if shape == "star" else np.full(corners, radius)
    return Outline(np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1))
