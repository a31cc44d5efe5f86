"""Footage at another frame rate, by its timestamps."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage

#: The longest in seconds that one frame may stand for. A longer gap is taken for a damaged timestamp: filled up, it
#: would be a film of one picture.
MAX_GAP = 300.0
#: Seconds by which a distance may be off: Matroska rounds both of its ends to the millisecond.
_ROUNDING = 1.1e-3


def resample(footage: Footage, fps: float) -> Iterator[np.ndarray]:
    """Frames `1 / fps` apart: the k-th is the last that has appeared k / fps seconds after the first.

    "Has appeared" is meant with a slack of just under half of the shorter of the two periods, so that times that
    wander or are rounded count for the ticks that they belong to: at equal rates every frame comes once, at twice the
    rate twice, at half the rate every second. There are as many as fit the duration to the nearest, at least one; the
    last frame of the footage lasts `1 / footage.fps` seconds. One frame is held back, so memory does not grow.

    Args:
        footage: Timed frames, at a constant or a variable rate.
        fps: Frame rate in Hz.

    Yields:
        The frames.

    Raises:
        DataError: A time is before the one that it follows, or more than `MAX_GAP` seconds after it.
    """
    period = min(1 / fps, 1 / footage.fps)
    slack = period / 2 - min(_ROUNDING, period / 8)
    held: np.ndarray | None = None  # chosen for tick `ticks - 1`, which counts only if the footage lasts long enough
    current: np.ndarray | None = None
    ticks, origin, before = 0, 0.0, 0.0
    for time, frame in footage.timed:
        if current is None:
            origin = before = time
        _check_step(time - before, before - origin)
        while current is not None and ticks / fps + slack < time - origin:
            if held is not None:
                yield held
            held, ticks = current, ticks + 1
        current, before = frame, time
    if current is None:
        return
    wanted = max(1, math.floor((before - origin + 1 / footage.fps) * fps + 0.5 + min(_ROUNDING * fps, 1 / 8)))
    if held is not None and ticks <= wanted:
        yield held
    for _ in range(wanted - ticks):
        yield current


def _check_step(step: float, since: float) -> None:
    if not 0 <= step <= MAX_GAP:
        raise DataError(
            f"the time of a frame {since:.2f} s after the first is followed by one {step:.2f} s later; expected steps "
            f"of 0 to {MAX_GAP:g} s; write the video anew with sound timestamps, or take it without fps."
        )
