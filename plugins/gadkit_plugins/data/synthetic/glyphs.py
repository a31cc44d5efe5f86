"""The ten digits, drawn with a round pen."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from gadkit_plugins.data.synthetic.raster import Points, Strokes

#: The pen's width as a share of a digit's height.
PEN = 0.14
_PIECES_PER_TURN = 28
_FINE = 400  # places of a digit's height, at most, where its centre of mass is measured


@lru_cache(maxsize=64)
def digit(number: int, size: float) -> Strokes:
    """A digit with its centre of mass at the origin.

    Args:
        number: 0 to 9.
        size: Its height in pixels.
    """
    lines = _lines()[number]
    begin, end = (np.concatenate([line[part] for line in lines]) for part in (np.s_[:-1], np.s_[1:]))
    low, high = min(line[:, 1].min() for line in lines), max(line[:, 1].max() for line in lines)
    scale = size * (1 - PEN) / (high - low)
    strokes = Strokes(begin * scale, end * scale, size * PEN / 2)
    centre = _centre(strokes, max(0.125, size / _FINE))
    return Strokes(strokes.begin - centre, strokes.end - centre, strokes.radius)


def _centre(strokes: Strokes, step: float) -> Points:
    """(x, y) of the centre of mass of the ink as it is drawn, with soft edges, from a grid of a step in pixels."""
    left, top, right, bottom = strokes.extents + 1
    x = np.arange(-left, right, step)
    y = np.arange(-top, bottom, step)
    distance = strokes.distance(x.astype(np.float32)[None, :], y.astype(np.float32)[:, None])
    ink = np.clip(0.5 - distance.astype(np.float64), 0, 1)
    centre: Points = np.array([(ink.sum(0) * x).sum(), (ink.sum(1) * y).sum()]) / ink.sum()
    return centre


def _arc(x: float, y: float, wide: float, high: float, begin: float, end: float) -> Points:
    """Part of an ellipse about (x, y) as points, from one angle in degrees to another; 0 is right, 90 down."""
    pieces = max(2, math.ceil(abs(end - begin) / 360 * _PIECES_PER_TURN))
    angles = np.radians(np.linspace(begin, end, pieces + 1))
    return np.stack((x + wide * np.cos(angles), y + high * np.sin(angles)), axis=1)


def _line(*points: tuple[float, float]) -> Points:
    return np.array(points)


def _lines() -> list[list[Points]]:
    """The pen's ways for 0 to 9, in a box about 1 high, y down."""
    six = [_arc(0.48, 0.68, 0.26, 0.24, 0, 360), _arc(0.70, 0.66, 0.48, 0.58, 180, 262)]
    return [
        [_arc(0.5, 0.5, 0.27, 0.42, 0, 360)],
        [_line((0.32, 0.26), (0.54, 0.08), (0.54, 0.92))],
        [np.concatenate((_arc(0.5, 0.33, 0.26, 0.25, -165, 35), _line((0.24, 0.92), (0.78, 0.92))))],
        [_arc(0.47, 0.29, 0.24, 0.21, -150, 90), _arc(0.47, 0.71, 0.28, 0.21, -90, 150)],
        [_line((0.6, 0.92), (0.6, 0.08), (0.2, 0.66), (0.8, 0.66))],
        [np.concatenate((_line((0.72, 0.08), (0.3, 0.08), (0.27, 0.46)), _arc(0.47, 0.65, 0.28, 0.27, -120, 145)))],
        six,
        [_line((0.22, 0.08), (0.78, 0.08), (0.42, 0.92))],
        [_arc(0.5, 0.29, 0.21, 0.21, 0, 360), _arc(0.5, 0.71, 0.27, 0.21, 0, 360)],
        [1 - line for line in six],
    ]
