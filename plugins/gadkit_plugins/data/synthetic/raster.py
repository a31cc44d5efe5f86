"""Drawing figures at any position, anti-aliased: how much of each pixel a figure covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """A closed polygon, filled.

    Attributes:
        corners: `(K, 2)`, (x, y) in order around it, about the origin.
    """

    corners: Points

    @property
    def extents(self) -> Points:
        """How far it reaches from the origin to the left, the top, the right and the bottom, `(4,)`."""
        return np.concatenate((-self.corners.min(0), self.corners.max(0)))

    def distance(self, x: Pixels, y: Pixels) -> Pixels:
        """Distance of points from the outline, negative inside."""
        following = np.roll(self.corners, -1, axis=0)
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
        for (ax, ay), (bx, by) in zip(self.corners.tolist(), following.tolist(), strict=True):
            if ay != by:  # a ray to the right crosses this edge
                crosses = (y >= min(ay, by)) & (y < max(ay, by))
                inside ^= crosses & (x < np.float32(ax) + (y - np.float32(ay)) * np.float32((bx - ax) / (by - ay)))
        distance = _to_segments(x, y, self.corners, following)
        return np.where(inside, -distance, distance)


@dataclass(frozen=True)
class Strokes:
    """Lines drawn with a round pen.

    Attributes:
        begin: `(K, 2)`, (x, y) where each straight piece begins, about the origin.
        end: `(K, 2)`, where it ends.
        radius: Half the width of the pen.
    """

    begin: Points
    end: Points
    radius: float

    @property
    def extents(self) -> Points:
        """As for `Outline`."""
        points = np.concatenate((self.begin, self.end))
        return np.concatenate((-points.min(0), points.max(0))) + self.radius

    def distance(self, x: Pixels, y: Pixels) -> Pixels:
        """Distance of points from the edge of the ink, negative inside."""
        return _to_segments(x, y, self.begin, self.end) - np.float32(self.radius)


@dataclass(frozen=True)
class Disc:
    """A circle about the origin, filled.

    Attributes:
        radius: Its radius.
    """

    radius: float

    @property
    def extents(self) -> Points:
        """As for `Outline`."""
        return np.full(4, self.radius)

    def distance(self, x: Pixels, y: Pixels) -> Pixels:
        """Distance of points from the circle, negative inside."""
        return np.sqrt(x * x + y * y) - np.float32(self.radius)


Figure = Outline | Strokes | Disc


def cover(
    figure: Figure,
    position: Points,
    angle: Points | None,
    height: int,
    width: int,
    put: Callable[[int, slice, slice, Pixels], None],
) -> None:
    """Draws a figure once a frame, in the window of pixels around it.

    A pixel counts as covered by what a straight edge at its distance would cover of it: near the truth along edges, and
    a little rounder than it at corners.

    Args:
        figure: The figure, in pixels.
        position: `(T, 2)`, (x, y) of its origin in pixels: the frame's upper left corner is (0, 0), and the centre of
            the first pixel (.5, .5).
        angle: `(T,)` in radians, from x towards y; `None` for upright.
        height: H in pixels.
        width: W in pixels.
        put: Called as `put(frame, rows, columns, coverage)`, coverage float32 in [0, 1].
    """
    left, top, right, bottom = figure.extents
    if angle is not None:
        left = top = right = bottom = float(np.hypot(max(left, right), max(top, bottom)))
    corner = np.floor(position - (left, top) - 1).astype(np.int64)
    rows = np.arange(int(np.ceil(top + bottom)) + 4, dtype=np.float32) + np.float32(0.5)
    columns = np.arange(int(np.ceil(left + right)) + 4, dtype=np.float32) + np.float32(0.5)
    origin = (position - corner).astype(np.float32)  # small numbers, so that float32 is exact to a millionth of a pixel
    x = columns[None, None, :] - origin[:, 0, None, None]
    y = rows[None, :, None] - origin[:, 1, None, None]
    if angle is not None:
        cos, sin = (f(angle).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        x, y = cos * x + sin * y, cos * y - sin * x
    coverage = np.clip(np.float32(0.5) - figure.distance(x, y), 0, 1)
    for frame, (column, row) in enumerate(corner.tolist()):
        low, high = max(row, 0), min(row + len(rows), height)
        first, last = max(column, 0), min(column + len(columns), width)
        part = coverage[frame, low - row : high - row, first - column : last - column]
        put(frame, slice(low, high), slice(first, last), part)


def _to_segments(x: Pixels, y: Pixels, begin: Points, end: Points) -> Pixels:
    """Distance of points from the nearest of some line segments."""
    nearest: Any = np.float32(np.inf)
    for (ax, ay), (dx, dy) in zip(begin.tolist(), (end - begin).tolist(), strict=True):
        px, py = x - np.float32(ax), y - np.float32(ay)
        square = dx * dx + dy * dy
        along = np.clip(px * np.float32(dx / square) + py * np.float32(dy / square), 0, 1)
        px, py = px - along * np.float32(dx), py - along * np.float32(dy)
        nearest = np.minimum(nearest, px * px + py * py)
    distance: Pixels = np.sqrt(nearest)
    return distance
